"""What a finished job says of itself: figures, layers, and all that is needed to repeat it."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from api.architectures.layers import latencies_us, layer_rows
from api.jobs.lease import Lease
from api.jobs.pins import JobInputs
from latency.operator import BASE
from latency.table import LatencyTable
from search.architecture import Architecture
from search.constraints import UNITS, names_of
from search.costs import macs, stored_bytes
from search.report.figures import figure_row
from search.run import Result

MEDIA_TYPES = {
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".safetensors": "application/octet-stream",
    ".tflite": "application/octet-stream",
}


def first_table(inputs: JobInputs) -> LatencyTable | None:
    """The table of the first constraint that names a device: the one that layers are shown by."""
    return inputs.tables[min(inputs.tables)] if inputs.tables else None


def fixed_rows(architecture: Architecture, table: LatencyTable | None) -> list[dict[str, Any]]:
    """What is not searched: the call itself, stem and head, with a change of format in front of it."""
    stem_us, *_, head_us = latencies_us(architecture, table)
    call_us = None if table is None else table.latency_us(BASE)
    fixed = {BASE: call_us, architecture.space.stem_operator: stem_us, architecture.space.head_operator: head_us}
    return [
        {
            "operator": o.key,
            "macs": macs(o),
            "size_bytes": stored_bytes(o),
            "latency_us": latency_us,
        }
        for o, latency_us in fixed.items()
    ]


def figure_rows(inputs: JobInputs, predicted: Mapping[str, float]) -> list[dict[str, Any]]:
    """What the constraints are predicted to take, by the names of their budgets: rows of `api.jobs.figures`."""
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


def report_document(
    lease: Lease, inputs: JobInputs, result: Result, environment: dict[str, Any], pace: dict[str, Any]
) -> str:
    """report.json."""
    table = first_table(inputs)
    document = {
        "job": lease.job_id,
        "attempts": lease.attempt,
        "test_accuracy": result.test_metric,
        "budgets": figure_rows(inputs, result.predicted),
        "layers": layer_rows(result.architecture, table),
        "fixed": fixed_rows(result.architecture, table),
        "export": {"difference_to_torch": result.export_difference},
        "spec": inputs.spec.model_dump(mode="json"),
        "pins": {
            "tables": [inputs.tables[number].content_hash for number in sorted(inputs.tables)],
            "dataset": inputs.dataset.content_hash,
        },
        "forecast": inputs.forecast,
        "pace": pace,
        "environment": {**environment, "lutnas": version("lutnas")},
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
