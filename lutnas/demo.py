"""The whole job once, through the front door: own service, real HTTP, this very CPU. `lutnas demo` runs it.

start API and worker -> fetch the data -> profile -> upload -> search under 0.6 of the largest network's predicted
latency -> train -> download -> measure
"""

import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Group
from rich.text import Text

from latency.formats import TableErrors, read_csv, write_csv
from latency.table import LatencyTable, TableInfo
from lutnas import settings
from lutnas.cli import output as out
from lutnas.cli.architectures import download_all, layers_table
from lutnas.cli.failure import ExitCode, Failure, extra
from lutnas.cli.newfile import check_new_file, write_whole
from lutnas.cli.output import Output, say
from lutnas.cli.profile import measure
from lutnas.cli.tables import ensure_device
from lutnas.cli.verify import MODELS, RUNTIME
from lutnas.cli.watch import follow, why_failed
from lutnas.client import Client, ProblemError
from lutnas.client.documents import FINAL_STATES, Architecture, Document, Job, Table
from lutnas.process import Child, ChildError

BUDGET_SHARE = 0.6  # of the greatest predicted latency that the space can reach
NO_LIMIT_US = 1e12
USUAL_PORT = 8000
LABEL = "made-by:lutnas-demo"
JOB = "job"  # the file that names the last one


@dataclass(frozen=True)
class Trial:
    """What the demo searches on, and how long."""

    dataset: str
    space: str
    search: Mapping[str, Any]
    finish: Mapping[str, Any]


# Sized for less than ten minutes on two cores: a search step takes 0.25 s there, one of the final training 0.09 s. The
# search sees a part of the pictures, the final training all. The digits are few, so they get more epochs.
FASHION = Trial(
    "fashion-mnist",
    "fbnet-mini",
    search={"examples": 12_000, "epochs": 10, "warmup_epochs": 2},
    finish={"epochs": 4},
)
DIGITS = Trial(
    "digits",
    "fbnet-mini-8x8",
    search={"epochs": 30, "warmup_epochs": 5, "batch_size": 64},
    finish={"epochs": 30, "batch_size": 64},
)


class Report(TypedDict):
    """What `--json FILE` writes. Measured: 10th percentile of thread CPU time, one thread, batch 1."""

    dataset: str
    device: str
    target_latency_us: float
    predicted_latency_us: float
    measured_latency_us: float
    test_accuracy: float
    seconds: float
    artifacts: list[str]


def run(*, report: Path | None, table_file: Path | None, seed: int, port: int) -> int:
    """Runs the demo and gives the exit code; without a file to `report` to, it stays until Ctrl-C."""
    started = time.monotonic()
    given = None if table_file is None else _read_table(table_file)
    if report is not None:
        check_new_file(report)  # what is wrong with it is said now, and not after the work
    folder = settings.made_home(os.environ) / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    environ = {**os.environ, "LUTNAS_HOME": str(folder)}
    # Told to end, it stops what it started first; Ctrl-C does so by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    with Child(_serve_command(port), environ=environ, log=folder / "service.log", piped=True) as child:
        client = _connect(child, environ)
        with client:
            found, architecture = _do(client, folder, environ, given, seed, started)
        _show(found, architecture)
        if report is not None:
            write_whole(report, json.dumps(found, indent=2) + "\n")
            say(f"wrote {report}")
            return ExitCode.OK
        return _stay(child, client.url, folder)


def _do(
    client: Client, folder: Path, environ: Mapping[str, str], given: LatencyTable | None, seed: int, started: float
) -> tuple[Report, Architecture]:
    _cancel_leftover(client, folder / JOB)
    trial = _trial(client, environ, folder)
    draft = folder / f"{trial.space}.draft"
    table = given or _profile(client, draft, trial.space)
    device = table.info.device
    stored = _upload(client, table, trial.space)
    if given is None:
        draft.unlink(missing_ok=True)
    target_us = _target(client, trial, device, stored["id"])
    job = client.submit(_spec(trial, device, stored["id"], target_us, seed))
    write_whole(folder / JOB, job["id"])
    say(f"submitted {job['id']}: {trial.space} on {trial.dataset}, at most {target_us:.1f} us on {device}")
    architecture = client.architecture(_await(client, job, folder))
    into = folder / "results" / job["id"]
    names = tuple(artifact["name"] for artifact in architecture["artifacts"])
    files = download_all(client, architecture, into, only=names)
    files.append(_write_table(table, into / "table.csv"))
    accuracy = architecture["test_accuracy"]
    assert accuracy is not None  # both data sets have a test part
    report = Report(
        dataset=trial.dataset,
        device=device,
        target_latency_us=target_us,
        predicted_latency_us=architecture["predicted_latency_us"][device],
        measured_latency_us=_measure(into, table.info),
        test_accuracy=accuracy,
        seconds=round(time.monotonic() - started, 1),
        artifacts=[str(file) for file in files],
    )
    return report, architecture


# --- the service


def _serve_command(port: int) -> list[str]:
    return ["serve", "--worker", "--json", "--port", str(port or _usual_port())]


def _usual_port() -> int:
    try:
        socket.create_server(("127.0.0.1", USUAL_PORT)).close()
    except OSError:
        return 0
    return USUAL_PORT


def _connect(child: Child, environ: Mapping[str, str]) -> Client:
    """A client of the demo's own service, once that listens."""
    say("starting the API and a worker")
    try:
        ready = json.loads(child.first_line())
    except ChildError as error:
        raise Failure(str(error)) from error
    # The service says where its token lies; None where LUTNAS_TOKEN gave it by value.
    file = ready["token_file"]
    token = environ["LUTNAS_TOKEN"] if file is None else Path(file).read_text(encoding="utf-8").strip()
    say(f"the API listens on {ready['address']}")
    return Client(ready["address"], token)


def _stay(child: Child, url: str, folder: Path) -> int:
    say(f"ask it with: LUTNAS_HOME={folder} {shlex.join([sys.executable, '-m', 'lutnas', 'jobs', 'list'])}")
    say(f"the API goes on at {url} (pages at {url}/docs) until Ctrl-C")
    try:
        code = child.process.wait()
    except KeyboardInterrupt:
        say("stopping")
        return ExitCode.OK
    raise Failure(f"the API ended with code {code}{child.last_words()}")


# --- the steps


def _trial(client: Client, environ: Mapping[str, str], folder: Path) -> Trial:
    """Fashion-MNIST where it can be had, else the digits that scikit-learn carries."""
    with extra("worker", "lutnas demo"):
        from search.datasets.fetch import DatasetOutOfReach, fashion_mnist
    data = Path(environ.get("LUTNAS_DATA_DIR") or folder / "data")
    try:
        fashion_mnist(data / "fashion-mnist", say, source=environ.get("LUTNAS_FASHION_MNIST") or None)
    except DatasetOutOfReach as error:
        say(f"warning: {error}")
        say("going on with the digits that scikit-learn carries")
        _create_digits_space(client)
        return DIGITS
    return FASHION


def _create_digits_space(client: Client) -> None:
    if any(space["name"] == DIGITS.space for space in client.spaces()):
        return
    base, data = client.space(FASHION.space), client.dataset(DIGITS.dataset)
    fields = ("input", "classes", "stem", "stages", "candidates", "head")
    space = {name: base[name] for name in fields if name in base}
    note = "fbnet-mini over the 8x8 digits of scikit-learn"
    client.create_space(
        {**space, "name": DIGITS.space, "note": note, "input": data["input"], "classes": data["classes"]}
    )


def _profile(client: Client, draft: Path, space: str) -> LatencyTable:
    operators = client.operators(space)
    say(f"timing {len(operators)} operators of {space} on this CPU, one thread, batch 1")
    device = _device_name()
    started = time.monotonic()
    table = measure(operators, device=device, draft=draft)
    say(f"timed them in {out.duration(time.monotonic() - started)}")
    return table


def _device_name() -> str:
    """This machine's name, as far as it fits the name of a device."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in socket.gethostname().lower())
    return letters.strip("._-")[:50] or "this-cpu"


def _read_table(file: Path) -> LatencyTable:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return read_csv(lines)
    except (TableErrors, UnicodeDecodeError) as error:
        raise Failure(f"{file} is no table: {error}", hint="take the table.csv of an earlier demo") from error


def _write_table(table: LatencyTable, file: Path) -> Path:
    file.write_text("".join(write_csv(table.info, table.entries.items())), encoding="utf-8", newline="")
    return file


def _upload(client: Client, table: LatencyTable, space: str) -> Table:
    ensure_device(client, table.info.device)
    content = "".join(write_csv(table.info, table.entries.items())).encode()
    stored = client.upload_table(table.info.device, content, media_type="text/csv", space=space)
    say(f"uploaded {stored['rows']} rows as table {stored['id']}, version {stored['version']} of {table.info.device}")
    return stored


def _target(client: Client, trial: Trial, device: str, table: str) -> float:
    """The budget, microseconds: a share of the greatest predicted latency of the space."""
    answer = client.validate(_spec(trial, device, table, NO_LIMIT_US, seed=0))
    for error in answer["errors"]:
        raise Failure(f"the service would refuse the search: {error.get('field')}: {error['detail']}")
    return round(BUDGET_SHARE * answer["reachable"][0]["max_us"], 3)


def _spec(trial: Trial, device: str, table: str, max_us: float, seed: int) -> Document:
    return {
        "name": "demo",
        "space": trial.space,
        "dataset": trial.dataset,
        "seed": seed,
        "constraints": [{"metric": "latency", "device": device, "table": table, "max_us": max_us}],
        "search": dict(trial.search),
        "finish": dict(trial.finish),
        "labels": dict([LABEL.split(":")]),
    }


def _cancel_leftover(client: Client, kept: Path) -> None:
    """Ends what a demo that was cut off left: the worker would take it up again before the search of this one. `kept`
    names the last job that a demo submitted from here.
    """
    if not kept.exists():
        return
    try:
        job = client.job(kept.read_text(encoding="utf-8").strip())
    except ProblemError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return  # it was on another database
    if job["state"] not in FINAL_STATES:
        say(f"cancelling {job['id']}, which an earlier demo left")
        client.cancel(job["id"])


def _await(client: Client, job: Job, folder: Path) -> str:
    """Watches the job to its end and gives the id of what it derived."""
    try:
        ended = follow(client, Output(as_json=False), job, through_pauses=True)
    except (KeyboardInterrupt, SystemExit):
        client.cancel(job["id"])
        raise
    if ended["state"] == "failed":
        raise Failure(why_failed(ended), hint=f"the log of the worker is {folder / 'service.log'}")
    if ended["architecture"] is None:
        raise Failure(f"the job was {ended['state']}")
    return ended["architecture"]


def _measure(into: Path, info: TableInfo) -> float:
    """Microseconds of a call, by what the table was timed by where a file in `into` is for that."""
    from latency.profiler import measure_model

    there = info.runtime in MODELS and (into / MODELS[info.runtime]).exists()
    runtime = info.runtime if there else RUNTIME
    if runtime != info.runtime:
        say(f"warning: the table is of {info.runtime}, and the network is measured by {runtime}: they may well differ")
    say("measuring the exported network on this CPU")
    return measure_model(into / MODELS[runtime], threads=info.threads, runtime=runtime).latency_us


def _show(report: Report, architecture: Architecture) -> None:
    rows = [
        ["data set", report["dataset"]],
        ["device", report["device"]],
        ["test accuracy", f"{report['test_accuracy']:.4f}"],
        ["target", f"{report['target_latency_us']:.1f} us"],
        ["predicted", f"{report['predicted_latency_us']:.1f} us"],
        ["measured", f"{report['measured_latency_us']:.1f} us"],
        ["time", out.duration(report["seconds"])],
        ["files", str(Path(report["artifacts"][0]).parent)],
    ]
    out.stdout().print(Group(Text(), layers_table(architecture), Text(), out.table(["result", ""], rows)))
