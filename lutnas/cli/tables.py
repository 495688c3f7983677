"""`lutnas tables`."""

from pathlib import Path
from typing import Literal

import click

from latency.operator import FIELDS, Operator
from lutnas.cli import output as out
from lutnas.cli.failure import ExitCode, refuse, where
from lutnas.cli.fit import fit
from lutnas.cli.heatmap import heatmap
from lutnas.cli.imports import import_table
from lutnas.cli.newfile import names_a_stream
from lutnas.cli.options import connected, existing_file, new_file
from lutnas.cli.output import Output, say
from lutnas.client import Client
from lutnas.client.documents import Document

MEDIA_TYPES = {".csv": "text/csv", ".json": "application/json", ".parquet": "application/vnd.apache.parquet"}


@click.group()
def tables() -> None:
    """Latency lookup tables of devices."""


tables.add_command(import_table)
tables.add_command(fit)
tables.add_command(heatmap)


@tables.command("upload")
@click.argument("file", type=existing_file)
@click.option("--device", required=True, metavar="NAME", help="The device that was measured.")
@click.option("--space", metavar="NAME", help="Refuse the table if it lacks an operator of this space.")
@click.option("--create", is_flag=True, help="Register the device if it is not known yet.")
@connected
def upload_table(client: Client, output: Output, file: Path, device: str, space: str | None, create: bool) -> None:
    """Upload a table: .csv, .json or .parquet, also gzipped (.csv.gz, .json.gz).

    All rows are taken or none; what is wrong is named by row and column. The same table a second time changes nothing.
    """
    media_type = media_type_of(file)
    if create:
        ensure_device(client, device)
    stored = client.upload_table(device, file.read_bytes(), media_type=media_type, space=space)
    for warning in stored.get("warnings", []):
        say(f"warning: {where(warning)}")
    output.document(stored)


@tables.command("list")
@click.option("--device", metavar="NAME", help="Only those of one device.")
@connected
def list_tables(client: Client, output: Output, device: str | None) -> None:
    """List tables, device by device, newest version first."""
    # By id: two of one name may be a user's own and a team's.
    devices = [device] if device is not None else [known["id"] for known in client.devices()]
    columns = ["id", "device", "version", "rows", "runtime", "threads", "batch", "created_at"]
    output.listing((t for one in devices for t in client.tables(one)), columns, nothing="no table yet")


@tables.command("show")
@click.argument("table")
@connected
def show_table(client: Client, output: Output, table: str) -> None:
    """Show one table, by id: all but its rows."""
    output.document(client.table(table))


@tables.command("rows")
@click.argument("table")
@connected
def show_rows(client: Client, output: Output, table: str) -> None:
    """Show the rows of a table."""
    rows = client.table_rows(table)
    if not output.as_json:
        rows = ({"operator": Operator(**{name: row[name] for name in FIELDS}).key, **row} for row in rows)
    columns = ["operator", "latency_us", "p10_us", "p90_us", "samples", "provenance"]
    output.listing(rows, columns, nothing="the table has no rows")


@tables.command("coverage")
@click.argument("table")
@click.option("--space", required=True, metavar="NAME", help="The search space.")
@click.option("--precision", multiple=True, metavar="NAME", help="Precisions of --space, instead of its own.")
@click.option("--width", multiple=True, type=float, metavar="SHARE", help="Widths of --space, instead of its own.")
@connected
def show_coverage(
    client: Client, output: Output, table: str, space: str, precision: tuple[str, ...], width: tuple[float, ...]
) -> int:
    """Tell whether a table has every operator of a space; exit code 1 if it lacks some."""
    coverage = client.coverage(table, space, precision=precision, width=width)
    if output.as_json:
        output.document(coverage)
    elif coverage["covered"]:
        say(f"{table} covers {space}")
    else:
        say(f"{table} lacks {len(coverage['missing'])} operators of {space}:")
        for row in coverage["missing"]:
            click.echo(Operator(**row).key)
    return ExitCode.OK if coverage["covered"] else ExitCode.ERROR


@tables.command("difference")
@click.argument("before")
@click.argument("after")
@connected
def show_difference(client: Client, output: Output, before: str, after: str) -> None:
    """Tell what changes from the table BEFORE to the table AFTER, the greatest changes first."""
    found = client.difference(before, after)
    counts = [f"{found[f'{name}_count']} {name}" for name in ("changed", "added", "removed")]
    say(f"{found['equal']} equal, {', '.join(counts)}")
    columns = ["operator", "before us", "after us", "ratio"]
    rows = [
        [_key(row), f"{row['before_us']:.2f}", f"{row['after_us']:.2f}", out.cell(row["ratio"])]
        for row in found["changed"]
    ]
    rows += [[_key(row), "-", "added", ""] for row in found["added"]]
    rows += [[_key(row), "removed", "-", ""] for row in found["removed"]]
    output.document(found, out.table(columns, rows, right=columns[1:]))


@tables.command("download")
@click.argument("table")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of the file.",
)
@click.option("--output", "file", type=new_file, metavar="FILE", help="Where to write it  [default: TABLE.FORMAT]")
@connected
def download_table(
    client: Client, output: Output, table: str, form: Literal["csv", "json", "parquet"], file: Path | None
) -> None:
    """Download a table."""
    to = file or Path(f"{table}.{form}")
    is_file = not names_a_stream(to)  # the table is all that comes into a stream
    written = client.download_table(table, to, format=form)
    if is_file:
        output.document({"table": table, "file": str(written)}, str(written))


def _key(row: Document) -> str:
    return Operator(**{name: row[name] for name in FIELDS}).key


def media_type_of(file: Path) -> str:
    """Media type of a table by the file's name; ends the command on any other name."""
    plain = file.with_suffix("") if file.suffix == ".gz" else file
    if plain.suffix not in MEDIA_TYPES:
        refuse("FILE", f"{file.name}: a table is a .csv, .json or .parquet file, or one of these with .gz")
    return MEDIA_TYPES[plain.suffix]


def ensure_device(client: Client, name: str) -> None:
    """Registers a device that is not known yet."""
    if not knows_device(client, name):
        client.create_device(name)
        say(f"registered the device {name}")


def knows_device(client: Client, name: str) -> bool:
    """Whether the service has a device of this name."""
    return any(known["name"] == name for known in client.devices())
