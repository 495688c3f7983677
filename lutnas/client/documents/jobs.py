"""Search jobs and what becomes of them."""

from typing import Literal, NotRequired, TypedDict

from lutnas.client.documents.document import Document

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL_STATES: tuple[State, ...] = ("succeeded", "failed", "cancelled")


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
