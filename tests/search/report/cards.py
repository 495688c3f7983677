"""Report cards of real architectures with random weights, for tests that look at what a card says."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from latency.correction import Correction
from latency.estimate import predict_us
from latency.operator import BASE
from latency.table import Entry, LatencyTable, Provenance, TableInfo
from latency.weights import random_weights
from search.architecture import Architecture, LayerChoice
from search.report.card import NETWORK, FileRow, Measured, ReportCard
from search.report.compared import SEARCHED, ComparedRun
from search.report.filling import Origin, Outcome, UsedTable, report_card
from search.report.metrics import Folded
from search.space import Space
from search.spec import SearchSpec
from tests.search.builders import mixed_space

FILES = (
    FileRow(name="architecture.json", bytes=2114, sha256="0" * 64),
    FileRow(name="model.onnx", bytes=301_377, sha256="f" * 64),
)
ENVIRONMENT: dict[str, str | int] = {"torch": "2.13.0+cpu", "processor": "A processor", "threads": 1, "lutnas": "0.1.0"}


def table_of(space: Space, provenance: Provenance = "measured", device: str = "pi4") -> LatencyTable:
    """Latencies that grow with the block."""
    info = TableInfo(
        device=device, runtime="onnxruntime", runtime_version="1.23.2", threads=1, batch=1,
        measured_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
    )  # fmt: skip
    rng = random.Random(0)
    rows = {
        o: Entry(rng.uniform(0.8, 1.2) * (2.0 + o.h * o.c_mid / 40), provenance=provenance) for o in space.operators()
    }
    return LatencyTable(info, {**rows, BASE: Entry(11.5, provenance=provenance)})


def random_architecture(space: Space, seed: int = 0) -> Architecture:
    rng = random.Random(seed)
    return Architecture.from_indices(space, [rng.randrange(len(layer.choices)) for layer in space.layers])


def folded_of(architecture: Architecture) -> dict[str, Folded]:
    """Random weights of each block by its name."""
    rng = np.random.default_rng(0)
    names = ["stem", *(f"layers.{number}" for number in range(len(architecture.layers))), "head"]
    return {name: random_weights(operator, rng) for name, operator in zip(names, architecture.operators(), strict=True)}


def compared_runs(
    layers: Sequence[LayerChoice], methods: Sequence[str] = (SEARCHED, "random", "uniform int8"), budget: str = "pi4"
) -> list[ComparedRun]:
    """Three seeds of each method at three shares; the search is best."""
    rng = random.Random(0)
    return [
        ComparedRun(
            method=method, share=share, seed=seed, layers=tuple(layers),
            predicted={budget: 100.0 * share - 4 * number},
            before=0.5 + rng.gauss(0, 0.01), after=0.9 + 0.03 * share - 0.01 * number + rng.gauss(0, 0.003),
            top5_before=0.8, top5_after=0.99,
        )
        for number, method in enumerate(methods) for share in (0.5, 0.75, 1.0) for seed in range(3)
    ]  # fmt: skip


def spec_of(space: Space, **changes: Any) -> SearchSpec:
    document = {"name": "doorbell", "space": space.name, "dataset": "digits"}
    return SearchSpec.model_validate({**document, "constraints": [{"device": "pi4", "max_us": 109.0}], **changes})


def card_of(
    space: Space | None = None, *, provenance: Provenance = "measured", spec: dict[str, Any] | None = None,
    predicted: dict[str, float] | None = None, with_table: bool = True, **outcome: Any,
) -> ReportCard:  # fmt: skip
    """A card of a network of mixed choices; `spec` and `outcome` are what differs from the plainest one."""
    space = space or mixed_space()
    architecture = random_architecture(space)
    used = UsedTable(table_of(space, provenance), "a" * 64, Correction(1.5, 0.98))
    predicted_us = predict_us(used.table, architecture.operators())
    found = Outcome(
        architecture=architecture, folded=folded_of(architecture), predicted=predicted or {"pi4": predicted_us},
        test_accuracy=0.9143, export_difference=3.1e-7, **outcome,
    )  # fmt: skip
    origin = Origin(
        job="job_1", attempts=2, made_at=datetime(2026, 11, 24, 12, 30, tzinfo=UTC),
        spec=spec_of(space, **(spec or {})),
        tables={0: used} if with_table else {}, dataset_hash="d" * 64, environment=ENVIRONMENT,
    )  # fmt: skip
    return report_card(found, origin, FILES)


def full_card(space: Space | None = None, **more: Any) -> ReportCard:
    """One with all that a card may have."""
    space = space or mixed_space()
    here = "pi4, onnxruntime 1.23.2, 1 thread"
    measured = (
        Measured(what=NETWORK, latency_us=101.0, where=here),
        Measured(what="the same in fp32", latency_us=161.6, where=here),
        Measured(what="the same in fp32", latency_us=80.0, where="a laptop"),
    )
    rest = {
        "test_top5": 0.9971, "accuracy_before": 0.8312, "top5_before": 0.9804, "measured": measured,
        "teacher_accuracy": 0.9287, "float_accuracy": 0.9198,
        "compared": compared_runs(random_architecture(space).layers),
        "notes": ("One-shot pruning, because two epochs are too few for a schedule.",),
    }  # fmt: skip
    return card_of(space, **{**rest, **more})
