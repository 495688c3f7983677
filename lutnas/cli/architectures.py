"""`lutnas architectures`."""

from pathlib import Path

import click
from rich.console import Group
from rich.progress import DownloadColumn
from rich.table import Table
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import refuse
from lutnas.cli.options import connected, folder
from lutnas.cli.output import Output
from lutnas.cli.totals import total
from lutnas.client import Client
from lutnas.client.documents import Architecture, LayerReport


@click.group()
def architectures() -> None:
    """Derived architectures and their files."""


@architectures.command("list")
@connected
def list_architectures(client: Client, output: Output) -> None:
    """List all derived architectures."""
    columns = ["id", "job", "space", "predicted_latency_us", "test_accuracy"]
    output.listing(client.architectures(), columns, nothing="no architecture yet: `lutnas jobs submit FILE`")


@architectures.command("show")
@click.argument("architecture")
@connected
def show_architecture(client: Client, output: Output, architecture: str) -> None:
    """Show one architecture, layer by layer."""
    found = client.architecture(architecture)
    output.document(found, Group(out.fields(_heads(found)), Text(), layers_table(found)))


@architectures.command("download")
@click.argument("architecture")
@click.option("--output", "into", type=folder, metavar="FOLDER", help="Where to put the files  [default: ARCHITECTURE]")
@click.option("--only", metavar="NAME", multiple=True, help="Only this file; may be given several times.")
@connected
def download_architecture(
    client: Client, output: Output, architecture: str, into: Path | None, only: tuple[str, ...]
) -> None:
    """Download the files of an architecture: architecture.json, weights.safetensors, model.onnx, report.json and
    report.html.

    Beside them model-float.onnx, where anything is rounded, model.tflite, where LiteRT computes the network, and what
    later jobs start from: evidence.json, and supernet.safetensors of a search. Each file is checked against the
    checksum that the service promised, and is whole or not there.
    """
    found = client.architecture(architecture)
    names = [artifact["name"] for artifact in found["artifacts"]]
    for name in only:
        if name not in names:
            refuse("--only", f"{name!r} is none of {', '.join(names)}")
    written = download_all(client, found, into or Path(architecture), only=only or tuple(names))
    shown = Text("\n".join(map(str, written)))
    output.document({"architecture": found["id"], "files": [str(path) for path in written]}, shown)


def download_all(client: Client, architecture: Architecture, into: Path, *, only: tuple[str, ...]) -> list[Path]:
    """Puts the files named `only` into the folder `into`, with a progress bar on stderr."""
    chosen = [artifact for artifact in architecture["artifacts"] if artifact["name"] in only]
    written = list[Path]()
    with out.progress(DownloadColumn()) as bar:
        task = bar.add_task("downloading", total=sum(artifact["bytes"] for artifact in chosen))
        for artifact in chosen:
            bar.update(task, description=artifact["name"])
            written.append(client.download(artifact, into, on_bytes=lambda count: bar.advance(task, count)))
    return written


def layers_table(architecture: Architecture) -> Table:
    """The choice and the predicted latency of each layer; then what is not searched, and all totals."""
    rows = [_layer_row(row) for row in architecture["layers"]]
    totals, predicted = architecture["predicted_latency_us"], architecture.get("predicted", [])
    layers_us = sum(layer["latency_us"] or 0.0 for layer in architecture["layers"])
    # Layers have the latencies of the first constraint that names a device; its total need not be a latency.
    first = next((row for row in predicted if "device" in row), None)
    if len(totals) == 1 and (first is None or first["metric"] == "latency"):
        rows.append(["", "stem, head and call", "", "", "", f"{sum(totals.values()) - layers_us:.1f}"])
    elif first is not None:
        rows.append(["", f"layers, on {first['device']}", "", "", "", f"{layers_us:.1f}"])
    rows += [["", f"all, on {device}", "", "", "", f"{total_us:.1f}"] for device, total_us in totals.items()]
    others = [row for row in predicted if row["metric"] != "latency"]
    rows += [["", row["name"], "", "", "", total(row)] for row in others]
    columns = ["layer", "candidate", "c_mid", "precision", "sparsity", "predicted us"]
    return out.table(columns, rows, right=["layer", "c_mid", "predicted us"])


def _layer_row(row: LayerReport) -> list[str]:
    c_mid, sparsity, latency_us = row.get("c_mid"), row.get("sparsity"), row["latency_us"]
    zeros = f"{row.get('pattern')} {sparsity:g}" if sparsity else ""
    latency = "-" if latency_us is None else f"{latency_us:.1f}"
    return [str(row["layer"]), row["candidate"], str(c_mid or ""), row.get("precision", "fp32"), zeros, latency]


def _heads(architecture: Architecture) -> dict[str, object]:
    return {name: architecture.get(name) for name in ("id", "job", "space", "predicted_latency_us", "test_accuracy")}
