"""What a job leaves: architectures and files."""

from typing import Any, NotRequired, TypedDict

from lutnas.client.documents.budgets import Predicted, Reachable
from lutnas.client.documents.document import Document


class Artifact(TypedDict):
    """A file that a job left."""

    id: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    job: str | None
    created_at: str


class LayerReport(TypedDict):
    """One layer of a derived architecture. `latency_us` is null where no constraint names a device; `c_mid` is there
    where the block is narrower than its candidate.
    """

    layer: int | str
    candidate: str
    c_mid: int | None
    precision: str
    pattern: str
    sparsity: float
    operator: Any
    macs: int | None
    size_bytes: float | None
    latency_us: float | None


class Architecture(TypedDict):
    """A derived architecture. `measured` is what devices told."""

    id: str
    job: str
    space: str
    candidates: list[str]
    predicted_latency_us: dict[str, float]
    predicted: list[Predicted]
    test_accuracy: float | None
    layers: list[LayerReport]
    measured: NotRequired[list[Document]]
    artifacts: list[Artifact]


class Derived(TypedDict):
    """An architecture that nobody trained; `worth` is what its search would expect of it."""

    candidates: list[str]
    worth: float
    predicted: list[Predicted]
    layers: list[LayerReport]


class Derivation(TypedDict):
    """What a finished search answers to new constraints."""

    job: str
    samples: int
    rank_correlation: float | None
    note: str
    reachable: list[Reachable]
    architectures: list[Derived]
