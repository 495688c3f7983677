"""`lutnas tables heatmap`: a latency table over a space, as a picture."""

import io
import math
from pathlib import Path

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from lutnas.cli.newfile import is_stdout, write_whole
from lutnas.cli.options import connected, new_file
from lutnas.cli.output import Output, say
from lutnas.client import Client
from lutnas.client.documents import Document

# From the least to the greatest latency; equal steps of the eye, readable in grey too (viridis, five of its colours).
SHADES = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
LIGHT = ("#5ec962", "#fde725")  # with dark figures on them
BLANKS = 2  # between columns


@click.command("heatmap")
@click.argument("table")
@click.option("--space", required=True, metavar="NAME", help="The search space.")
@click.option("--precision", multiple=True, metavar="NAME", help="Precisions of --space, instead of its own.")
@click.option("--width", multiple=True, type=float, metavar="SHARE", help="Widths of --space, instead of its own.")
@click.option("--svg", type=new_file, metavar="FILE", help="Write the picture to this file.")
@connected
def heatmap(
    client: Client, output: Output, table: str, space: str, precision: tuple[str, ...], width: tuple[float, ...],
    svg: Path | None,
) -> None:  # fmt: skip
    """Show what each choice of each layer of a space takes by a TABLE, in us: dark is little, bright is much."""
    found = client.heatmap(table, space, precision=precision, width=width)
    drawn = _Picture(found)
    if svg is not None:
        recording = Console(record=True, width=drawn.width, file=io.StringIO())
        recording.print(drawn)
        only_data = is_stdout(svg)
        write_whole(svg, recording.export_svg(title=f"{table} over {space}, us"))
        say(f"wrote {svg}")
        if only_data:
            return
    output.document(found, drawn)


class _Picture:
    """As many choices side by side as the console has room for, the others below: no figure is cut."""

    def __init__(self, found: Document) -> None:
        self._layers = found["layers"]
        self._columns = list(zip(found["columns"], _cells(found), strict=True))
        self._left = len("layer") + BLANKS + max((len(layer["shape"]) for layer in self._layers), default=0)

    @property
    def width(self) -> int:
        """Characters of all choices side by side."""
        return self._left + sum(_width(*column) for column in self._columns)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room, part = options.max_width - self._left, list[tuple[str, list[Text]]]()
        for column in self._columns:
            if part and sum(_width(*other) for other in [*part, column]) > room:
                yield self._table(part)
                yield ""
                part = []
            part.append(column)
        yield self._table(part)

    def _table(self, columns: list[tuple[str, list[Text]]]) -> Table:
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        drawn.add_column("layer", justify="right")
        drawn.add_column("shape", no_wrap=True)
        for name, _ in columns:
            drawn.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
        for row, layer in enumerate(self._layers):
            drawn.add_row(str(layer["layer"]), layer["shape"], *(cells[row] for _, cells in columns))
        return drawn


def _width(name: str, cells: list[Text]) -> int:
    """Characters of a column and the blanks before it."""
    return BLANKS + max([*(len(word) for word in name.split(" ")), *(len(cell) for cell in cells)])


def _cells(found: Document) -> list[list[Text]]:
    """Column by column."""
    known = [value for layer in found["layers"] for value in layer["latency_us"] if value]
    least, greatest = (min(known), max(known)) if known else (1.0, 1.0)
    rows = [[_cell(value, least, greatest) for value in layer["latency_us"]] for layer in found["layers"]]
    return [[row[number] for row in rows] for number in range(len(found["columns"]))]


def _cell(value: float | None, least: float, greatest: float) -> Text:
    """By the logarithm: twice the latency is one distance, wherever it starts."""
    if value is None:
        return Text("")
    span = math.log(greatest / least) or 1.0
    place = 0.0 if value <= least else math.log(value / least) / span
    shade = SHADES[min(len(SHADES) - 1, int(place * len(SHADES)))]
    figures = "#000000" if shade in LIGHT else "#ffffff"
    return Text(f"{value:.4g}" if value < 1e5 else f"{value:.2g}", style=f"{figures} on {shade}")
