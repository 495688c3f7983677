"""`lutnas profile`: time the operators of a search space on this very machine."""

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from latency.formats import write_csv
from latency.formats.columns import RowParser
from latency.operator import FIELDS, Operator, OperatorError
from latency.table import FieldError, LatencyTable
from lutnas.cli import output as out
from lutnas.cli.failure import Failure, extra, refuse
from lutnas.cli.jsonfile import read_json
from lutnas.cli.newfile import is_stdout, names_a_stream, write_whole
from lutnas.cli.options import (
    connect,
    connection_options,
    existing_file,
    json_option,
    new_file,
    note_option,
    seed_range,
)
from lutnas.cli.output import Output, say
from lutnas.cli.tables import ensure_device, knows_device
from lutnas.client import Client
from lutnas.client.documents import Table
from lutnas.settings import home_path, made_home

Watch = Callable[[int, int, float], None]  # gets (done, total, seconds_left)


class DraftRefused(Failure):
    """The draft is none of this profile."""


@click.command()
@click.option("--device", required=True, metavar="NAME", help="What to call this machine.")
@click.option("--space", metavar="NAME", help="Time what this search space needs; the service tells what that is.")
@click.option("--precision", multiple=True, metavar="NAME", help="Precisions of --space, instead of its own.")
@click.option("--width", multiple=True, type=float, metavar="SHARE", help="Widths of --space, instead of its own.")
@click.option("--sparsity", multiple=True, metavar="LEVEL", help="Zeros of --space, such as dense and 2:4@0.5.")
@click.option(
    "--operators", "file", type=existing_file, metavar="FILE", help="Time what `lutnas spaces operators --json` wrote."
)
@click.option("--output", "to", type=new_file, metavar="FILE", help="Write the table to this CSV file.")
@click.option("--upload", is_flag=True, help="Upload the table; registers the device if it is not known yet.")
@click.option("--runtime", default="onnxruntime", show_default=True, metavar="NAME", help="What runs the operators.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads of the runtime.")
@click.option("--core", type=click.IntRange(0), metavar="N", help="Stay on this core.")
@click.option(
    "--seed",
    type=seed_range,
    default=0,
    show_default=True,
    help="Seed of the chains that are timed, and of p10 and p90.",
)
@note_option("the measurement")
@connection_options
@json_option
def profile(
    device: str,
    space: str | None,
    precision: tuple[str, ...],
    width: tuple[float, ...],
    sparsity: tuple[str, ...],
    file: Path | None,
    to: Path | None,
    upload: bool,
    runtime: str,
    threads: int,
    core: int | None,
    seed: int,
    note: str,
    url: str | None,
    token: str | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Time the operators of a search space on this machine, and make a latency lookup table of them.

    Needs an extra: pip install 'lutnas[profiler]'. With --operators it needs no service. With --output a run that was
    stopped goes on where it was. Runtimes that come with lutnas: onnxruntime, litert (lutnas[litert]), and for fp32
    torch and torch-cuda.
    """
    if (space is None) == (file is None):
        raise click.UsageError("give either --space NAME or --operators FILE")
    if file is not None and (precision or width or sparsity):
        raise click.UsageError("--precision, --width and --sparsity choose among a --space; --operators has its own")
    if to is None and not upload:
        raise click.UsageError("give --output FILE, --upload, or both: else the measurements would be lost")
    started = time.monotonic()
    with ExitStack() as stack:
        client = stack.enter_context(connect(url, token, token_file)) if upload or file is None else None
        if file is not None:
            operators = read_operators(file)
        else:
            assert client is not None
            covered_for = device if upload and knows_device(client, device) else None
            operators = client.operators(
                str(space), precision=precision, width=width, sparsity=sparsity, device=covered_for
            )
        if upload and client is not None:
            ensure_device(client, device)  # before the minutes of measuring: a bad name or token is said now
        draft = _draft(to)
        table = measure(
            operators, device=device, runtime=runtime, threads=threads, core=core, seed=seed, note=note, draft=draft
        )  # fmt: skip
        only_data = to is not None and is_stdout(to)
        if to is not None:
            _write(table, to, draft)
        stored: Table | None = None
        if upload and client is not None:
            whole = None if precision or width or sparsity else space
            stored = _upload(client, table, whole, None if draft is None else to)
    _show(Output(as_json), table, to, stored, time.monotonic() - started, only_data=only_data)


def measure(
    operators: list[Operator],
    *,
    device: str,
    runtime: str = "onnxruntime",
    threads: int = 1,
    core: int | None = None,
    seed: int = 0,
    note: str = "",
    draft: Path | None = None,
    watch: Watch | None = None,
) -> LatencyTable:
    """Times `operators` on this machine, with a progress bar on stderr. What `watch` raises ends it. Who calls deletes
    the draft once the table is kept. Raises Failure, DraftRefused.
    """
    with extra("profiler", "timing operators"):
        from latency.profiler import DraftError, ProfilerError
        from latency.profiler import profile as run
    with out.progress() as bar:
        task = bar.add_task(f"timing {len(operators)} operators", total=len(operators))

        def advance(done: int, total: int, seconds_left: float) -> None:
            description = f"operator {done}/{total}  {out.duration(seconds_left)} left"
            bar.update(task, completed=done, total=total, description=description)
            if watch is not None:
                watch(done, total, seconds_left)

        try:
            return run(
                operators, device=device, runtime=runtime, threads=threads, core=core, seed=seed, note=note,
                draft=draft, progress=advance,
            )  # fmt: skip
        except DraftError as error:
            raise DraftRefused(str(error)) from error
        except (ProfilerError, FieldError) as error:
            raise Failure(str(error)) from error


def send(client: Client, table: LatencyTable, *, space: str | None) -> Table:
    """Uploads a profile of the device that it names; with `space` it must have all of that space's operators."""
    return client.upload_table(table.info.device, _text(table).encode(), media_type="text/csv", space=space)


def _write(table: LatencyTable, to: Path, draft: Path | None) -> None:
    try:
        write_whole(to, _text(table))
    except OSError as error:
        if draft is None:
            _keep(table, None, None)
        hint = f"what was timed is kept in {draft}: mend that, and give the same command again" if draft else ""
        raise Failure(f"cannot write {to}: {error.strerror}", hint=hint) from error
    if draft is not None:
        draft.unlink(missing_ok=True)


def _upload(client: Client, table: LatencyTable, space: str | None, kept: Path | None) -> Table:
    """Uploads a profile, which took minutes; where that fails, also by Ctrl-C, it stays on this machine."""
    try:
        return send(client, table, space=space)
    except BaseException:
        _keep(table, space, kept)
        raise


def _keep(table: LatencyTable, space: str | None, kept: Path | None) -> None:
    device = table.info.device
    if kept is None:
        kept = home_path(os.environ) / "profiles" / f"{device}-{table.content_hash[:12]}.csv"
        try:
            made_home(os.environ)
            write_whole(kept, _text(table))
        except OSError as error:
            say(f"warning: the table is lost: cannot write {kept}: {error.strerror}")
            return
    wanted = "" if space is None else f" --space {space}"
    say(f"the table is kept; to upload it: lutnas tables upload {kept} --device {device}{wanted}")


def _text(table: LatencyTable) -> str:
    return "".join(write_csv(table.info, table.entries.items()))


def read_operators(file: Path) -> list[Operator]:
    """The operators in a document that `lutnas spaces operators --json` wrote; ends the command on anything else."""
    with file.open("rb") as stream:
        document = read_json(stream, "--operators")
    rows = document.get("operators")
    if not isinstance(rows, list) or not rows:
        refuse("--operators", f'{file}: has no list "operators": write it with `lutnas spaces operators NAME --json`')
    return [_operator(file, number, row) for number, row in enumerate(rows)]


def _operator(file: Path, number: int, row: Any) -> Operator:
    if not isinstance(row, dict) or not set(row) <= set(FIELDS):
        refuse("--operators", f"{file}: operators[{number}]: {json.dumps(row)} is no operator")
    try:
        operator, _ = RowParser([*row, "latency_us"]).parse([*row.values(), 0.0])  # as in a table that is to be made
        return operator
    except (OperatorError, FieldError) as error:
        refuse("--operators", f"{file}: operators[{number}].{error}")


def _draft(to: Path | None) -> Path | None:
    """Where a profile keeps what it has so far; a folder that cannot be made is said before minutes are spent."""
    if to is None or (names_a_stream(to) and not to.is_dir()):
        return None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse("--output", f"cannot make the folder {to.parent}: {error.strerror}")
    return to.with_name(to.name + ".draft")


def _show(
    output: Output, table: LatencyTable, to: Path | None, stored: Table | None, seconds: float, *, only_data: bool
) -> None:
    document = {
        "device": table.info.device,
        "rows": len(table),
        "noisy": len(table.noisy()),
        "seconds": round(seconds, 1),
        "file": None if to is None else str(to),
        "table": stored,
    }
    if document["noisy"]:
        say(f"warning: {document['noisy']} operators spread by more than 30 %; was this machine busy?")
    say(f"timed {len(table)} operators in {out.duration(seconds)}")
    if to is not None:
        say(f"wrote {to}")
    if stored is not None:
        say(f"uploaded version {stored['version']}")
    if not only_data:
        output.document(document, Text(stored["id"] if stored is not None else str(to)))
