"""`lutnas calibrate`: random networks timed on this very machine, held against predictions."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from latency.operator import FIELDS, Operator
from lutnas.cli import output as out
from lutnas.cli.failure import HINTS, Failure, code_of, extra, refuse
from lutnas.cli.jsonfile import read_json
from lutnas.cli.options import connected, seed_range
from lutnas.cli.output import Output, say
from lutnas.cli.profile import Watch
from lutnas.client import Client, LutnasError
from lutnas.client.documents import Coverage, Document, Table

if TYPE_CHECKING:
    from latency.profiler import Measurement
    from latency.profiler.runtimes import Runtime


@click.command()
@click.argument("table")
@click.option("--space", required=True, metavar="NAME", help="The search space whose networks are timed.")
@click.option("--precision", multiple=True, metavar="NAME", help="Precisions to draw from, instead of the space's.")
@click.option("--width", multiple=True, type=float, metavar="SHARE", help="Widths to draw from, as --precision.")
@click.option("--networks", type=click.IntRange(1, 1000), default=30, show_default=True, help="How many networks.")
@click.option("--seed", type=seed_range, default=0, show_default=True, help="Seed of the draw.")
@click.option("--measured", type=click.File("rb"), help="Send what an earlier run timed and could not send.")
@connected
def calibrate(
    client: Client, output: Output, table: str, space: str, precision: tuple[str, ...], width: tuple[float, ...],
    networks: int, seed: int, measured: IO[bytes] | None,
) -> None:  # fmt: skip
    """Time random networks of a space on this machine, and tell how far its TABLE is off.

    Needs an extra: pip install 'lutnas[profiler]'. To be run on the device that the table is of. The service keeps what
    was measured; where a line through it helps on networks left out, jobs go by it from then on. Where it cannot be
    sent, it is kept in a file for --measured.
    """
    if measured is None:
        body = time_networks(client, table, space, precision=precision, width=width, networks=networks, seed=seed)
    else:
        body = read_json(measured)
    try:
        told = client.add_measurements(table, body)
    except LutnasError as error:
        if measured is not None:
            raise
        kept = _kept(table, body)
        again = f"lutnas calibrate {table} --space {space} --measured {kept}"
        detail = f"{error}; what was timed is kept"
        raise Failure(detail, hint=f"`{again}` sends it", exit_code=code_of(error)) from error
    output.document(told, _calibration(told))


def _kept(table: str, body: Document) -> Path:
    """Minutes of a device's time, in a file of its own."""
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"{table}-", suffix=".json", dir=Path.cwd(), delete=False, encoding="utf-8"
    ) as file:
        json.dump(body, file)
    return Path(file.name)


def time_networks(
    client: Client, table: str, space: str, *, precision: Sequence[str] = (), width: Sequence[float] = (),
    networks: int = 30, seed: int = 0, watch: Watch | None = None,
) -> Document:  # fmt: skip
    """What `Client.add_measurements` takes for `table`, timed on this machine, with a progress bar on stderr. What
    `watch` raises ends it.
    """
    known = client.table(table)
    runtime = _runtime_of(known)
    drawn = client.sample(space, count=networks, seed=seed, precision=precision, width=width, table=table)
    _check_covered(client.coverage(table, space, precision=precision, width=width), drawn)
    return {
        "space": space, "choices": drawn["choices"], "runtime": runtime.name, "runtime_version": runtime.version,
        "threads": known["threads"], "batch": 1, "networks": _measured(drawn, runtime, known["threads"], watch),
    }  # fmt: skip


def _check_covered(coverage: Coverage, drawn: Document) -> None:
    """Said before minutes are spent: a table says nothing of networks whose operators it has not."""
    missing = {Operator(**{name: one[name] for name in FIELDS}) for one in coverage["missing"]}
    needed = {operator for one in drawn["architectures"] for operator in one["operators"]}
    if lacks := missing & needed:
        raise Failure(f"the table lacks {len(lacks)} operators of what is drawn", hint=HINTS["space-not-covered"])


def time_network(table: Table, operators: Sequence[Document], *, watch: Watch | None = None) -> float:
    """Microseconds that one network of these operators takes on this machine, timed as `table` was."""
    runtime, network = _runtime_of(table), [Operator(**one) for one in operators]
    (measured,) = _timed([network], runtime, table["threads"], watch)
    return measured.latency_us


def _runtime_of(table: Table) -> "Runtime":
    """The table's runtime on this machine, if it is of that version: said before minutes are spent."""
    with extra("profiler", "timing networks"):
        from latency.profiler import ProfilerError, make_runtime, runtime_names
    if table["runtime"] not in runtime_names():
        refuse("TABLE", f"{table['id']} is of {table['runtime']}, and lutnas has {', '.join(runtime_names())} here")
    try:
        here = make_runtime(table["runtime"])
    except ProfilerError as error:
        raise Failure(str(error)) from error
    there = table["runtime"], table.get("runtime_version", ""), table["batch"]
    if there[1] not in ("", here.version) or there[2] != 1:
        refuse(
            "TABLE",
            f"{table['id']} is of {' '.join(filter(None, there[:2]))} at batch {there[2]}, this machine times "
            f"{here.name} {here.version} at batch 1: profile it again",
        )
    return here


def _measured(drawn: Document, runtime: "Runtime", threads: int, watch: Watch | None) -> list[Document]:
    found = drawn["architectures"]
    timed = _timed([one["operators"] for one in found], runtime, threads, watch)
    return [
        {"layers": one["layers"], "latency_us": m.latency_us, "p10_us": m.p10_us, "p90_us": m.p90_us,
         "samples": m.samples}
        for one, m in zip(found, timed, strict=True)
    ]  # fmt: skip


def _timed(
    networks: Sequence[Sequence[Operator]], runtime: "Runtime", threads: int, watch: Watch | None
) -> "list[Measurement]":
    from latency.profiler import ProfilerError, measure_networks

    said_of = "one network" if len(networks) == 1 else f"{len(networks)} networks"
    with out.progress() as bar:
        task = bar.add_task(f"timing {said_of}", total=None)

        def advance(done: int, total: int, seconds_left: float) -> None:
            description = f"{said_of}  {out.duration(seconds_left)} left"
            bar.update(task, completed=done, total=total, description=description)
            if watch is not None:
                watch(done, total, seconds_left)

        try:
            timed = measure_networks(networks, runtime=runtime, threads=threads, progress=advance)
        except ProfilerError as error:
            raise Failure(str(error)) from error
    restless = sum(not one.settled for one in timed)
    if restless:
        say(f"warning: {restless} of {len(timed)} networks did not settle; was this machine busy?")
    return timed


def _calibration(told: Document) -> Any:
    rows = [_trust_row("as uploaded", told["trust"])]
    if told["corrected"] is not None:
        rows.append(_trust_row("corrected, on networks left out", told["corrected"]))
        line = told["correction"]
        say(f"jobs go by measured = {line['offset_us']:.2f} us + {line['scale']:.4f} * predicted from now on")
    columns = ["predictions", "networks", "mean error", "90 %", "worst", "rank correlation"]
    return out.table(columns, rows, right=columns[1:])


def _trust_row(name: str, trust: Document) -> list[str]:
    errors = [f"{100 * trust[one]:.1f} %" for one in ("mape", "p90", "worst")]
    ranks = "-" if trust["spearman"] is None else f"{trust['spearman']:.3f}"
    return [name, str(trust["networks"]), *errors, ranks]
