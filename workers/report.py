"""What a job says of itself: totals as it runs; then figures, layers, and all that is needed to repeat it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from api.architectures.layers import layer_rows
from api.artifacts.store import StoredFile
from api.jobs.lease import Lease, NewArchitecture
from api.jobs.pins import JobInputs, PinnedTable
from latency.table import LatencyTable
from search.constraints import UNITS, names_of
from search.extension import ExtensionRun
from search.outcome import Result
from search.report.card import FileRow, Measured, ReportCard
from search.report.figures import figure_row
from search.report.filling import Origin, Outcome, UsedTable, report_card
from search.report.page import page
from search.run import SearchRun

Run = SearchRun | ExtensionRun
MEDIA_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".safetensors": "application/octet-stream",
    ".tflite": "application/octet-stream",
}


def first_table(inputs: JobInputs) -> LatencyTable | None:
    """The table of the first constraint that names a device: the one that layers are shown by."""
    return inputs.tables[min(inputs.tables)] if inputs.tables else None


def figure_rows(inputs: JobInputs, predicted: Mapping[str, float]) -> list[dict[str, Any]]:
    """What the constraints are predicted to take, by the names of their budgets: rows of `search.report.figures`."""
    constraints = inputs.spec.constraints
    pairs = zip(names_of(constraints), constraints, strict=True)
    return [figure_row(name, constraint, predicted[name]) for name, constraint in pairs]


def by_metric(inputs: JobInputs, prefix: str, totals: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Totals by the names of their budgets, under fields that say metric and unit: `expected_latency_us`."""
    found: dict[str, dict[str, float]] = {}
    for name, constraint in zip(names_of(inputs.spec.constraints), inputs.spec.constraints, strict=True):
        unit = UNITS[constraint.metric]
        field = f"{prefix}_{constraint.metric}" + (f"_{unit}" if unit != constraint.metric else "")
        found.setdefault(field, {})[name] = totals[name]
    return found


def named_totals(inputs: JobInputs, data: dict[str, Any]) -> dict[str, Any]:
    """`data` of a step report, the engine's totals by budget under fields that say metric and unit."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= by_metric(inputs, key, value) if key in ("expected", "predicted") else {key: value}
    return found


def new_architecture(inputs: JobInputs, result: Result) -> NewArchitecture:
    """What the job derived, as the service keeps it."""
    return NewArchitecture(
        candidates=tuple(choice.name for choice in result.architecture.layers),
        predicted_latency_us=by_metric(inputs, "predicted", result.predicted).get("predicted_latency_us", {}),
        predicted=figure_rows(inputs, result.predicted),
        test_accuracy=result.test_metric,
        layers=layer_rows(result.architecture, first_table(inputs)),
    )


def versions() -> dict[str, str]:
    """Of lutnas, and of what writes its results; what computes them is in the environment."""
    return {name: version(name) for name in ("lutnas", "onnx", "onnxruntime")}


def _used(table: LatencyTable, pinned: PinnedTable) -> UsedTable:
    return UsedTable(table, pinned.content_hash, pinned.correction)


def card_of(
    lease: Lease, inputs: JobInputs, run: Run, result: Result, files: Sequence[StoredFile], *,
    measured: Sequence[Measured], environment: Mapping[str, str | int], pace: dict[str, Any], made_at: datetime,
) -> ReportCard:  # fmt: skip
    """The report card of a job whose `run` gave `result`; `files` are all that it left but reports."""
    assert run.trainer is not None, "a result is that of a trained network"
    outcome = Outcome(
        architecture=result.architecture,
        folded=run.trainer.network.folded(),
        predicted=result.predicted,
        test_accuracy=result.test_metric,
        test_top5=result.top5,
        accuracy_before=result.before,
        top5_before=result.top5_before,
        teacher_accuracy=result.teacher,
        float_accuracy=result.float_metric,
        export_difference=result.export_difference,
        compared=result.compared,
        measured=measured,
        notes=result.notes,
    )
    origin = Origin(
        job=lease.job_id,
        attempts=lease.attempt,
        made_at=made_at,
        spec=inputs.spec,
        tables={number: _used(table, inputs.pinned_tables[number]) for number, table in inputs.tables.items()},
        dataset_hash=inputs.dataset.content_hash,
        pretrained_hash=inputs.pretrained.sha256 if inputs.pretrained else None,
        environment={**environment, **versions()},
        forecast=inputs.forecast,
        pace=pace,
    )
    return report_card(outcome, origin, [FileRow(name=f.name, bytes=f.bytes, sha256=f.sha256) for f in files])


def write_reports(card: ReportCard, folder: Path) -> tuple[Path, ...]:
    """The card as report.json, and as report.html for people."""
    texts = {folder / "report.json": card.text(), folder / "report.html": page(card)}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return tuple(texts)
