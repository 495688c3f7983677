"""A table over a space as a picture has it: a row a layer, a column a choice."""

from api.tables.schemas import Heatmap, HeatmapRow
from latency.table import LatencyTable
from search.choices import Block, Choice, Choices
from search.space import Layer, Space


def heatmap(space: Space, table: LatencyTable) -> Heatmap:
    """What each choice of each layer takes; None where a layer has no such choice, or the table no row for it."""
    by_layer = [_columns(space, layer) for layer in space.layers]
    columns = list(dict.fromkeys(column for known in by_layer for column in known))
    return Heatmap(
        space=space.name,
        columns=columns,
        layers=[_row(layer, known, table, columns) for layer, known in zip(space.layers, by_layer, strict=True)],
    )


def _row(layer: Layer, by_column: dict[str, Choice], table: LatencyTable, columns: list[str]) -> HeatmapRow:
    operators = {column: layer.operator(choice) for column, choice in by_column.items()}
    known = {column: o for column, o in operators.items() if not table.missing([o])}
    return HeatmapRow(
        layer=layer.number,
        shape=f"{layer.h}x{layer.w} {layer.c_in}-{layer.c_out} s{layer.stride}",
        latency_us=[table.latency_us(known[column]) if column in known else None for column in columns],
    )


def _columns(space: Space, layer: Layer) -> dict[str, Choice]:
    """The choices of a layer by names that are the same in all layers, whatever their channels."""
    widths = {block: _width(space.choices, layer.c_in, block) for block in layer.blocks}
    return {_column(choice, widths[choice.block]): choice for choice in layer.choices}


def _column(choice: Choice, width: str) -> str:
    precision = "" if choice.precision.name == "fp32" else choice.precision.name
    level = choice.level.name if choice.level.sparsity else ""
    return " ".join(filter(None, (choice.candidate.name, width, precision, level)))


def _width(offered: Choices, c_in: int, block: Block) -> str:
    """As the share of its candidate that it was rounded from; in channels where it is a wider candidate's alone."""
    if block.c_mid == block.candidate.expansion * c_in:
        return ""
    for share in offered.width:
        if block in offered.model_copy(update={"width": (share,)}).blocks([block.candidate], c_in):
            return f"x{share:g}"
    return f"c{block.c_mid}"
