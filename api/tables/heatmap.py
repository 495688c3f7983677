"""A table over a space as a picture has it: a row a layer, a column a choice."""

from api.tables.schemas import Heatmap, HeatmapRow
from latency.table import LatencyTable
from search.choices import Choice
from search.space import Layer, Space


def heatmap(space: Space, table: LatencyTable) -> Heatmap:
    """What each choice of each layer takes; None where a layer has no such choice, or the table no row for it."""
    columns = dict.fromkeys(_column(space, layer, choice) for layer in space.layers for choice in layer.choices)
    return Heatmap(
        space=space.name,
        columns=list(columns),
        layers=[_row(space, layer, table, list(columns)) for layer in space.layers],
    )


def _row(space: Space, layer: Layer, table: LatencyTable, columns: list[str]) -> HeatmapRow:
    by_column = {_column(space, layer, choice): layer.operator(choice) for choice in layer.choices}
    known = {column: o for column, o in by_column.items() if not table.missing([o])}
    return HeatmapRow(
        layer=layer.number,
        shape=f"{layer.h}x{layer.w} {layer.c_in}-{layer.c_out} s{layer.stride}",
        latency_us=[table.latency_us(known[column]) if column in known else None for column in columns],
    )


def _column(space: Space, layer: Layer, choice: Choice) -> str:
    """The same in all layers, whatever their channels: a width as the share that it was rounded from."""
    full = choice.candidate.expansion * layer.c_in
    share = min(space.choices.width, key=lambda share: abs(share * full - choice.c_mid))
    width = f"x{share:g}" if choice.candidate.kernel and choice.c_mid != full else ""
    precision = "" if choice.precision.name == "fp32" else choice.precision.name
    level = choice.level.name if choice.level.sparsity else ""
    return " ".join(filter(None, (choice.candidate.name, width, precision, level)))
