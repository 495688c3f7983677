"""Derived architectures as the API shows them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.artifacts.schemas import ArtifactView


class LayerView(BaseModel):
    """What one layer became, and what it costs by the first constraint's table.

    `operator` has the operator's fields, or its key.
    """

    layer: int | str
    candidate: str
    operator: Any
    latency_us: float


class ArchitectureView(BaseModel):
    """A derived architecture, with the files it was exported to."""

    id: str
    job: str
    space: str
    candidates: list[str]
    predicted_latency_us: dict[str, float]
    test_accuracy: float | None
    layers: list[LayerView]
    artifacts: list[ArtifactView]
    created_at: datetime

    @classmethod
    def of(cls, row: DerivedArchitecture, artifacts: list[Artifact]) -> "ArchitectureView":
        """What the API says of a row."""
        return cls(
            id=row.id, job=row.job_id, space=row.space, candidates=row.candidates,
            predicted_latency_us=row.predicted_latency_us, test_accuracy=row.test_accuracy,
            layers=[LayerView.model_validate(layer) for layer in row.layers],
            artifacts=[ArtifactView.of(artifact) for artifact in artifacts], created_at=row.created_at,
        )  # fmt: skip
