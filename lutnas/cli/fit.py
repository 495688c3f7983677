"""`lutnas tables fit`: a table from whole networks, where operators cannot be timed alone."""

import csv
import io
from pathlib import Path
from typing import NoReturn

import click

from latency.fit import FitError, Network, fit_table
from latency.formats import write_csv
from latency.table import FieldError, TableInfo
from lutnas.cli import output as out
from lutnas.cli.failure import Failure, refuse
from lutnas.cli.newfile import is_stdout, write_whole
from lutnas.cli.options import existing_file, json_option, new_file, note_option
from lutnas.cli.output import Output, say
from lutnas.cli.spacefile import read_space

UNITS_US = {"us": 1.0, "ms": 1000.0}
ARCHITECTURE = "architecture"


@click.command("fit")
@click.argument("file", type=existing_file)
@click.option("--space", required=True, metavar="NAME", help="A preset space, or a space's JSON file.")
@click.option("--column", required=True, metavar="NAME", help="The column of latencies; its name ends in _us or _ms.")
@click.option("--device", required=True, metavar="NAME", help="The device that was measured.")
@click.option("--runtime", required=True, metavar="NAME", help="What ran the networks.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads of the runtime.")
@click.option("--batch", type=click.IntRange(1, 4096), default=1, show_default=True, help="Pictures of a call.")
@note_option("the measurements")
@click.option("--output", "to", required=True, type=new_file, metavar="FILE", help="Write the table to this CSV file.")
@json_option
def fit(
    file: Path, space: str, column: str, device: str, runtime: str, threads: int, batch: int, note: str, to: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Fit a table from whole networks that a device timed.

    FILE is a CSV with a column `architecture`, the candidate of each layer separated by blanks ("k3_e6 skip k5_e3"),
    and one of latencies. A few hundred networks do. What folds left out say of the error goes into the table's note.
    """
    unit = column.rpartition("_")[2]
    if unit not in UNITS_US:
        refuse("--column", f"{column!r} does not say its unit: a name that ends in _us or _ms")
    networks = _networks(file, space, column, UNITS_US[unit])
    try:
        info = TableInfo(device=device, runtime=runtime, threads=threads, batch=batch, note=note)
        fitted = fit_table(networks, info)
    except FieldError as error:
        refuse(f"--{error.field}", error.problem)
    except FitError as error:
        raise Failure(f"{file}: {error}") from error
    held_out = fitted.held_out
    told = f"fitted from {held_out.networks} whole networks, each predicted from others to {held_out.mape:.1%}"
    known = TableInfo(
        device=device, runtime=runtime, threads=threads, batch=batch, note=f"{note}; {told}" if note else told
    )
    only_data = is_stdout(to)
    write_whole(to, "".join(write_csv(known, fitted.table.entries.items())))
    document = {"file": str(to), "rows": len(fitted.table), "held_out": held_out._asdict()}
    shown = {
        "networks": held_out.networks,
        "mean error": f"{held_out.mape:.2%}",
        "90 %": f"{held_out.p90:.2%}",
        "worst": f"{held_out.worst:.2%}",
        "rank correlation": held_out.spearman,
    }
    say(f"wrote {len(fitted.table)} rows to {to}; networks left out are predicted so:")
    if not only_data:
        Output(as_json).document(document, out.fields(shown))


def _networks(file: Path, name: str, column: str, us: float) -> list[Network]:
    space = read_space(name)
    from pydantic import ValidationError

    from search.architecture import Architecture

    found = list[Network]()
    try:
        reader = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        refuse("FILE", f"{file.name}: is no text in UTF-8")
    try:
        for wanted in (ARCHITECTURE, column):
            if wanted not in (reader.fieldnames or ()):
                refuse("FILE", f"{file.name}: has no column {wanted!r}")
        for row in reader:
            for wanted in (ARCHITECTURE, column):
                if row[wanted] is None:
                    _wrong(file, reader.line_num, f"{wanted}: the row ends before it")
            try:
                architecture = Architecture.of(space, row[ARCHITECTURE].split())
                found.append(Network(architecture.operators(), float(row[column]) * us))
            except ValidationError as error:
                _wrong(file, reader.line_num, error.errors()[0]["msg"].removeprefix("Value error, "))
            except ValueError:
                _wrong(file, reader.line_num, f"{column}: {row[column]!r} is not a number")
    except csv.Error as error:
        _wrong(file, reader.line_num + 1, str(error))
    return found


def _wrong(file: Path, line: int, problem: str) -> NoReturn:
    raise Failure(f"{file}: line {line}: {problem}")
