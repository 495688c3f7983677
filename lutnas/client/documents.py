"""The documents of the API as its answers carry them. A field that a newer service adds passes through untouched."""

from typing import Any, Literal, NotRequired, TypedDict

from lutnas.client.errors import FieldError

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL_STATES: tuple[State, ...] = ("succeeded", "failed", "cancelled")
Document = dict[str, Any]


class Device(TypedDict):
    """A named device. `owner` is the token's."""

    id: str
    name: str
    description: NotRequired[str | None]
    labels: NotRequired[dict[str, str]]
    created_at: str


class Table(TypedDict):
    """One immutable version of a device's latency lookup table. `warnings` comes with the answer to an upload."""

    id: str
    device: str
    version: int
    content_hash: str
    rows: int
    runtime: str
    threads: int
    batch: int
    created_at: str
    warnings: NotRequired[list[FieldError]]


class Coverage(TypedDict):
    """Whether a table has every operator of a space; `missing` lists those it has not."""

    covered: bool
    missing: list[Document]


class Input(TypedDict):
    """Shape of one picture."""

    channels: int
    height: int
    width: int


class Dataset(TypedDict):
    """A data set that jobs may name."""

    id: str
    name: str
    input: Input
    classes: int
    class_names: list[str]
    examples: dict[str, int]
    content_hash: str


class Progress(TypedDict, total=False):
    """How far a job is; empty before its first step. `seconds_left` is an estimate."""

    phase: str
    step: int
    steps: int
    seconds_left: float | None


class Job(TypedDict):
    """A search job. `asked` is what a running one was asked and has not done yet; `error` is a problem document."""

    id: str
    name: str
    state: State
    asked: NotRequired[Literal["cancel", "pause"] | None]
    spec: Document
    pins: Document
    attempt: int
    progress: Progress
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: Document | None
    architecture: str | None
    labels: dict[str, str]


class Event(TypedDict):
    """One event of a job; ids count from 1 for each job."""

    id: int
    attempt: int
    step: int
    kind: str
    data: Document
    at: str


class Reachable(TypedDict):
    """Least and greatest predicted latency of a space by one table, microseconds."""

    device: str
    table: str
    min_us: float
    max_us: float


class Validation(TypedDict):
    """What the service says of a job before anything is spent."""

    valid: bool
    errors: list[FieldError]
    reachable: list[Reachable]
    architectures: int | None


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
    """One layer of a derived architecture; `operator` is null where it costs nothing."""

    layer: int | str
    candidate: str
    operator: Any
    latency_us: float


class Architecture(TypedDict):
    """A derived architecture."""

    id: str
    job: str
    space: str
    candidates: list[str]
    predicted_latency_us: dict[str, float]
    test_accuracy: float | None
    layers: list[LayerReport]
    artifacts: list[Artifact]
