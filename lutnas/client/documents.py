"""The documents of the API as its answers carry them. A field that a newer service adds passes through untouched."""

from typing import Any, Literal, NotRequired, TypedDict

from lutnas.client.errors import FieldError

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL_STATES: tuple[State, ...] = ("succeeded", "failed", "cancelled")
Document = dict[str, Any]


class Token(TypedDict):
    """A token, all but its secret. `device` is the one that it is for, `made_by` the id of the token that asked."""

    id: str
    owner: str
    name: str
    scopes: list[str]
    teams: list[str]
    device: str | None
    made_by: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class MadeToken(Token):
    """A token that was just made, with its secret."""

    secret: str


class Webhook(TypedDict):
    """Where an owner's jobs are told of; `events` are the states of jobs that are told."""

    id: str
    owner: str
    url: str
    events: list[State]
    description: str
    created_at: str


class MadeWebhook(Webhook):
    """A webhook that was just made, with its secret."""

    secret: str


class Delivery(TypedDict):
    """A message to a webhook: `tries` tell the status or the error of each sending, newest last."""

    id: str
    event: str
    job: str | None
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_try_at: str | None
    created_at: str
    ended_at: str | None
    tries: list[Document]
    payload: Document


class AuditEntry(TypedDict):
    """One write, or one that was refused. `request_id` is the X-Request-Id of its answer."""

    id: str
    at: str
    token_id: str
    owner: str
    method: str
    route: str
    object_id: str | None
    status: int
    request_id: str


class Device(TypedDict):
    """A named device. `owner` is the token's, or one of its teams."""

    id: str
    owner: NotRequired[str]
    name: str
    description: NotRequired[str | None]
    labels: NotRequired[dict[str, str]]
    created_at: str


class Table(TypedDict):
    """One immutable version of a device's latency lookup table. `warnings` comes with the answer to an upload,
    `calibration` where whole networks were measured.
    """

    id: str
    device: str
    version: int
    content_hash: str
    rows: int
    runtime: str
    runtime_version: NotRequired[str]
    threads: int
    batch: int
    created_at: str
    calibration: NotRequired[Document | None]
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


class Forecast(TypedDict):
    """What a job is expected to take on one worker, and what the seconds rest on."""

    expected_seconds: float
    expected_memory_bytes: int
    search_steps: int
    trial_steps: int
    teach_steps: int
    finish_steps: int
    compare_steps: NotRequired[int]
    rests_on: str


class Job(TypedDict):
    """A search job. `asked` is what a running one was asked and has not done yet; `error` is a problem document;
    `reproduces` is the job that it repeats, `extends` the one whose network it trains on.
    """

    id: str
    name: str
    state: State
    asked: NotRequired[Literal["cancel", "pause"] | None]
    spec: Document
    pins: Document
    forecast: Forecast | None
    attempt: int
    progress: Progress
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: Document | None
    architecture: str | None
    labels: dict[str, str]
    reproduces: NotRequired[str | None]
    extends: NotRequired[str | None]
    priority: NotRequired[int]
    limits: NotRequired[Document]


class Attempt(TypedDict):
    """One claim of a job by a worker. `ended` is None while it runs, else succeeded, failed, lease-lost, drained,
    paused or cancelled.
    """

    number: int
    worker: str
    environment: Document | None
    started_at: str
    ended_at: str | None
    ended: str | None
    reason: str | None
    problem: Document | None
    last_step: int | None
    traceback: str | None


class ComparedNetwork(TypedDict):
    """One network of the comparison of a job, numbered from 1. `state` is queued, running or done; `before`, `after`
    and `predicted`, by the names of the budgets, are None until it is done. One with a `problem` is left to the job's
    own worker.
    """

    number: int
    method: str
    share: float
    seed: int
    state: str
    worker: str | None
    attempt: int
    lost: int
    step: int
    steps: int
    before: float | None
    after: float | None
    predicted: dict[str, float] | None
    environment: Document | None
    problem: Document | None
    started_at: str | None
    ended_at: str | None


class ComparedFile(TypedDict):
    """One file of two jobs, by sha256; None where a job left none."""

    name: str
    same: bool
    first: str | None
    again: str | None


class Difference(TypedDict):
    """What two environments do not have in common; None where a report does not tell it."""

    name: str
    first: str | int | None
    again: str | int | None


class Reproduction(TypedDict):
    """Whether a job came out as the one it repeats; `same` is None until it has succeeded, `environment` where a report
    cannot be read.
    """

    job: str
    reproduces: str
    state: State
    same: bool | None
    files: list[ComparedFile]
    environment: list[Difference] | None


class Event(TypedDict):
    """One event of a job; ids count from 1 for each job."""

    id: int
    attempt: int
    step: int
    kind: str
    data: Document
    at: str


Metric = Literal["latency", "energy", "size", "memory", "macs"]


class Reachable(TypedDict):
    """Least and greatest total of one constraint over a space, in the fields of its metric's unit."""

    name: str
    metric: Metric
    device: NotRequired[str]
    table: NotRequired[str]
    min_us: NotRequired[float]
    max_us: NotRequired[float]
    min_uj: NotRequired[float]
    max_uj: NotRequired[float]
    min_bytes: NotRequired[float]
    max_bytes: NotRequired[float]
    min_macs: NotRequired[float]
    max_macs: NotRequired[float]


class Predicted(TypedDict):
    """Total of one constraint for one architecture, and the most that was asked for."""

    name: str
    metric: Metric
    device: NotRequired[str]
    predicted_us: NotRequired[float]
    max_us: NotRequired[float]
    predicted_uj: NotRequired[float]
    max_uj: NotRequired[float]
    predicted_bytes: NotRequired[float]
    max_bytes: NotRequired[float]
    predicted_macs: NotRequired[float]
    max_macs: NotRequired[float]


class Validation(TypedDict):
    """What the service says of a job before anything is spent."""

    valid: bool
    errors: list[FieldError]
    reachable: list[Reachable]
    architectures: int | None
    forecast: Forecast | None


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


RequestState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class DeviceRequest(TypedDict):
    """What a device was asked for. `silent`: its agent let the lease run out."""

    id: str
    device: str
    kind: Literal["profile", "calibrate", "verify"]
    state: RequestState
    asked: Literal["cancel"] | None
    silent: bool
    spec: Document
    agent: str | None
    attempt: int
    progress: Document
    result: Document | None
    error: Document | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class Lease(TypedDict):
    """The right of one attempt to answer a request, for `seconds` from the claim or the last heartbeat."""

    agent: str
    attempt: int
    expires_at: str
    seconds: float


class Claim(TypedDict):
    """A request that an agent has to answer."""

    request: DeviceRequest
    lease: Lease
