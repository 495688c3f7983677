"""A table over a space as a picture has it: a row a layer, a column a choice."""

from api.tables.schemas import Heatmap, HeatmapRow
from latency.table import LatencyTable
from search.choices import Choice
from search.space import Layer, Space


def heatmap(space: Space, table: LatencyTable) -> Heatmap:
    """What each choice of each layer takes; None where a layer has no such choice, or the table no row for it."""
    columns = dict.fromkeys(_column(layer, choice) for layer in space.layers for choice in layer.choices)
    return Heatmap(
        space=space.name,
        columns=list(columns),
        layers=[_row(layer, table, list(columns)) for layer in space.layers],
    )


def _row(layer: Layer, table: LatencyTable, columns: list[str]) -> HeatmapRow:
    by_column = {_column(layer, choice): layer.operator(choice) for choice in layer.choices}
    known = {column: o for column, o in by_column.items() if not table.missing([o])}
    return HeatmapRow(
        layer=layer.number,
        shape=f"{layer.h}x{layer.w} {layer.c_in}-{layer.c_out} s{layer.stride}",
        latency_us=[table.latency_us(known[column]) if column in known else None for column in columns],
    )


def _column(layer: Layer, choice: Choice) -> str:
    """The same in all layers, whatever their channels: a width as a share of the candidate's."""
    share = choice.c_mid / (choice.candidate.expansion * layer.c_in) if choice.candidate.kernel else 1.0
    width = "" if share == 1.0 else f"x{share:.2f}"
    precision = "" if choice.precision.name == "fp32" else choice.precision.name
    level = choice.level.name if choice.level.sparsity else ""
    return " ".join(filter(None, (choice.candidate.name, width, precision, level)))
