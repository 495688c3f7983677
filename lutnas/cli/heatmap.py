"""`lutnas tables heatmap`: a latency table over a space, as a picture."""

import io
import math
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lutnas.cli.newfile import write_whole
from lutnas.cli.options import connected, new_file
from lutnas.cli.output import Output, say
from lutnas.client import Client
from lutnas.client.documents import Document

# From the least to the greatest latency; equal steps of the eye, readable in grey too (viridis, five of its colours).
SHADES = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
LIGHT = ("#5ec962", "#fde725")  # with dark figures on them
COLUMN = 9  # characters of a column and the blanks around it
WIDEST = 60


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
    drawn = _drawn(found)
    if svg is not None:
        recording = Console(record=True, width=WIDEST + COLUMN * len(found["columns"]), file=io.StringIO())
        recording.print(drawn)
        write_whole(svg, recording.export_svg(title=f"{table} over {space}, us"))
        say(f"wrote {svg}")
    output.document(found, drawn)


def _drawn(found: Document) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("layer", justify="right")
    drawn.add_column("shape", no_wrap=True)
    for column in found["columns"]:
        drawn.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    known = [value for layer in found["layers"] for value in layer["latency_us"] if value]
    least, greatest = (min(known), max(known)) if known else (1.0, 1.0)
    for layer in found["layers"]:
        cells = [_cell(value, least, greatest) for value in layer["latency_us"]]
        drawn.add_row(str(layer["layer"]), layer["shape"], *cells)
    return drawn


def _cell(value: float | None, least: float, greatest: float) -> Text:
    """By the logarithm: twice the latency is one distance, wherever it starts."""
    if value is None:
        return Text("")
    span = math.log(greatest / least) or 1.0
    place = 0.0 if value <= least else math.log(value / least) / span
    shade = SHADES[min(len(SHADES) - 1, int(place * len(SHADES)))]
    figures = "#000000" if shade in LIGHT else "#ffffff"
    return Text(f"{value:.4g}" if value < 1e5 else f"{value:.2g}", style=f"{figures} on {shade}")
