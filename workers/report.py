"""What a finished job says of itself: figures, layers, and all that is needed to repeat it."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from api.jobs.lease import Lease
from api.jobs.pins import JobInputs
from latency.operator import BASE
from latency.table import LatencyTable
from search.architecture import Architecture
from search.derive import Budget
from search.run import Result

MEDIA_TYPES = {
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}


def layer_rows(architecture: Architecture, table: LatencyTable) -> list[dict[str, Any]]:
    """One row a searchable layer with its latency by `table`."""
    pairs = zip(architecture.layers, architecture.layer_operators(), strict=True)
    return [
        {
            "layer": number,
            "candidate": choice.candidate,
            "operator": operator.key,
            "latency_us": table.latency_us(operator),
        }
        for number, (choice, operator) in enumerate(pairs)
    ]


def fixed_rows(architecture: Architecture, table: LatencyTable) -> list[dict[str, Any]]:
    """What is not searched: the call itself, stem and head."""
    fixed = (BASE, architecture.space.stem_operator, architecture.space.head_operator)
    return [{"operator": o.key, "latency_us": table.latency_us(o)} for o in fixed]


def report_document(
    lease: Lease, inputs: JobInputs, budgets: Sequence[Budget], result: Result, environment: dict[str, Any]
) -> str:
    """report.json."""
    table = inputs.tables[0]
    document = {
        "job": lease.job_id,
        "attempts": lease.attempt,
        "test_accuracy": result.test_accuracy,
        "budgets": [{"name": b.name, "max_us": b.maximum, "predicted_us": result.predicted[b.name]} for b in budgets],
        "layers": layer_rows(result.architecture, table),
        "fixed": fixed_rows(result.architecture, table),
        "export": {"difference_to_torch": result.export_difference},
        "spec": inputs.spec.model_dump(mode="json"),
        "pins": {
            "tables": [inputs.tables[number].content_hash for number in sorted(inputs.tables)],
            "dataset": inputs.dataset.content_hash,
        },
        "environment": {**environment, "lutnas": version("lutnas")},
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
