"""Derived architectures as the API shows them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.artifacts.schemas import ArtifactView
from api.tables.schemas import Microseconds
from search.document import Document, Name
from search.report.figures import Figure

_FIGURES = TypeAdapter(list[Figure])


class LayerView(BaseModel):
    """What one layer became, and what it costs. `latency_us` is by the table of the first constraint that names a
    device, null where none does; it has what a change of format in front of the layer takes. `c_mid` is there where the
    block is narrower than its candidate.

    `operator` has the operator's fields, or its key.
    """

    layer: int | str
    candidate: str
    c_mid: int | None = None
    precision: str = "fp32"
    pattern: str = ""
    sparsity: float = 0.0
    operator: Any
    macs: int | None = None
    size_bytes: float | None = None
    latency_us: float | None


class NewMeasuredLatency(Document):
    """What a call of the exported network took on a device of yours."""

    device: Name
    runtime: Annotated[str, Field(min_length=1, max_length=200)]
    runtime_version: Annotated[str, Field(max_length=200)] = ""
    threads: Annotated[int, Field(ge=1, lt=2**31)]
    batch: Annotated[int, Field(ge=1, lt=2**31)]
    latency_us: Microseconds
    p10_us: Microseconds | None = None
    p90_us: Microseconds | None = None
    samples: Annotated[int, Field(ge=0, lt=2**31)] = 0
    settled: bool = True


class MeasuredLatency(NewMeasuredLatency):
    """The same, and when it was told."""

    created_at: datetime


class ArchitectureView(BaseModel):
    """A derived architecture, with the files it was exported to. `candidates` names the whole choice of each layer;
    `predicted` has the total of every constraint, `predicted_latency_us` those of the latencies, by name, `measured`
    what devices told since, oldest first.
    """

    id: str
    job: str
    space: str
    candidates: list[str]
    predicted_latency_us: dict[str, float]
    predicted: list[Figure]
    test_accuracy: float | None
    layers: list[LayerView]
    measured: list[MeasuredLatency]
    artifacts: list[ArtifactView]
    created_at: datetime

    @classmethod
    def of(cls, row: DerivedArchitecture, artifacts: list[Artifact]) -> "ArchitectureView":
        """What the API says of a row."""
        return cls(
            id=row.id, job=row.job_id, space=row.space, candidates=row.candidates,
            predicted_latency_us=row.predicted_latency_us, test_accuracy=row.test_accuracy,
            predicted=_FIGURES.validate_python(row.predicted),
            layers=[LayerView.model_validate(layer) for layer in row.layers],
            measured=[MeasuredLatency.model_validate(told) for told in row.measured],
            artifacts=[ArtifactView.of(artifact) for artifact in artifacts], created_at=row.created_at,
        )  # fmt: skip
