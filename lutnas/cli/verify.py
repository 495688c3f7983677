"""`lutnas verify`: a derived architecture timed on this very machine, held against what its job predicted."""

import tempfile
from pathlib import Path

import click

from lutnas.cli import output as out
from lutnas.cli.failure import Failure, extra, refuse
from lutnas.cli.options import connected
from lutnas.cli.output import Output, say
from lutnas.client import Client, ProblemError
from lutnas.client.documents import Architecture, Document, Table

RUNTIME = "onnxruntime"
MODELS = {RUNTIME: "model.onnx", "litert": "model.tflite"}  # what an architecture has to be timed, by its runtime


@click.command()
@click.argument("architecture")
@click.option("--device", required=True, metavar="NAME", help="What this machine is called.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime  [default: those of the table, else 1]"
)
@connected
def verify(client: Client, output: Output, architecture: str, device: str, threads: int | None) -> None:
    """Measure a derived ARCHITECTURE on this machine: predicted against measured latency.

    Needs an extra: pip install 'lutnas[profiler]'. What the job's table of the device was timed by is taken here too:
    its threads, and LiteRT for model.tflite where the table is LiteRT's, else onnxruntime for model.onnx. The service
    keeps what was measured beside the architecture.
    """
    found = client.architecture(architecture)
    predicted_us = _predicted(found, device)
    table = None if predicted_us is None else _table(client, found, device)
    body = time_architecture(
        client, found, device, threads=threads or (table["threads"] if table else 1), runtime=_runtime(found, table)
    )
    told = client.add_measured_latency(architecture, body)
    measured_us = body["latency_us"]
    comparable = table is not None and _is_comparable(table, body)
    document = {
        "architecture": told["id"], "device": device, "predicted_latency_us": predicted_us,
        "measured_latency_us": measured_us, "settled": body["settled"], "runtime": body["runtime"],
        "threads": body["threads"], "comparable": comparable,
    }  # fmt: skip
    shown = {"measured": f"{measured_us:.1f} us"}
    if predicted_us is not None:
        shown = {"predicted": f"{predicted_us:.1f} us", **shown}
        if comparable:
            shown["off by"] = f"{100 * (measured_us / predicted_us - 1):+.1f} %"
    output.document(document, out.fields(shown))


def time_architecture(
    client: Client, found: Architecture, device: str, *, threads: int = 1, runtime: str = RUNTIME
) -> Document:
    """What `Client.add_measured_latency` takes, timed on this machine, which is called `device`."""
    with extra("profiler", "timing networks"):
        from latency.profiler import ProfilerError, make_runtime, measure_model
    models = [artifact for artifact in found["artifacts"] if artifact["name"] == MODELS[runtime]]
    if not models:
        refuse("ARCHITECTURE", f"{found['id']} has no {MODELS[runtime]}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            ran_by = make_runtime(runtime)
            say(f"measuring {MODELS[runtime]} on this CPU")
            measured = measure_model(client.download(models[0], Path(folder)), threads=threads, runtime=runtime)
        except ProfilerError as error:
            raise Failure(str(error)) from error
    if not measured.settled:
        say("warning: calls did not settle; was this machine busy?")
    return {
        "device": device, "runtime": ran_by.name, "runtime_version": ran_by.version, "threads": threads, "batch": 1,
        "latency_us": measured.latency_us, "p10_us": measured.p10_us, "p90_us": measured.p90_us,
        "samples": measured.samples, "settled": measured.settled,
    }  # fmt: skip


def _predicted(architecture: Architecture, device: str) -> float | None:
    """The predicted latency on `device`, where a constraint of the job named it."""
    on_device = [row for row in architecture["predicted"] if row.get("device") == device and "predicted_us" in row]
    return on_device[0]["predicted_us"] if on_device else None


def _table(client: Client, architecture: Architecture, device: str) -> Table | None:
    """The table that predicted the latency on `device`; None where this token does not see it."""
    try:
        job = client.job(architecture["job"])
        metrics = [constraint["metric"] for constraint in job["spec"]["constraints"]]
        pins = [
            pin["table"]
            for pin in job["pins"]["tables"]
            if pin["device"] == device and metrics[pin["constraint"]] == "latency"
        ]
        return client.table(pins[0]) if pins else None
    except ProblemError as error:
        if error.status not in (403, 404):
            raise
        say(f"warning: cannot see which table predicted, nor how far it is off: {error}")
        return None


def _runtime(architecture: Architecture, table: Table | None) -> str:
    """The table's, where the architecture has a file for it."""
    wanted = table["runtime"] if table else RUNTIME
    names = [artifact["name"] for artifact in architecture["artifacts"]]
    return wanted if MODELS.get(wanted) in names else RUNTIME


def _is_comparable(table: Table, body: Document) -> bool:
    """Whether the table tells what was measured; says in what they differ where it does not."""
    there = {"runtime": table["runtime"], "threads": table["threads"], "batch": table["batch"]}
    differing = [name for name, value in there.items() if value != body[name]]
    if not differing:
        return True
    of, here = (", ".join(f"{name} {told[name]}" for name in differing) for told in (there, body))
    say(f"warning: the table {table['id']} is of {of}; this was {here}, and does not tell how far predictions are off")
    if differing == ["threads"]:
        say(f"hint: leave --threads away to measure with {table['threads']}")
    elif table["runtime"] in MODELS and table["batch"] == 1:
        say(f"hint: the architecture has no {MODELS[table['runtime']]}; its report tells why")
    else:
        say("hint: search with a table that `lutnas profile` made on this machine")
    return False
