"""Search jobs as the API shows them. A job as people write it is `search.spec.SearchSpec`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.jobs.figures import Range
from api.jobs.models import JobEvent, SearchJob

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class TablePin(BaseModel):
    """The table of one constraint, fixed at submission. `constraint` counts from 0."""

    constraint: int
    device: str
    table: str
    content_hash: str


class Pins(BaseModel):
    """What a job was fixed to at submission, so that it ends the same whenever it runs."""

    tables: list[TablePin]
    dataset_hash: str
    threads: int


class Progress(BaseModel):
    """How far a job is. Empty before its first step."""

    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    seconds_left: float | None = None


class ForecastView(BaseModel):
    """What a job is expected to take on one worker, and what the seconds rest on."""

    expected_seconds: float
    expected_memory_bytes: int
    search_steps: int
    finish_steps: int
    rests_on: str


class JobView(BaseModel):
    """A search job. `asked` is what its user wants of a running one and the worker has not done yet; `forecast` is
    that of its submission.
    """

    id: str
    name: str
    state: State
    asked: Literal["cancel", "pause"] | None
    owner: str
    spec: dict[str, Any]
    pins: Pins
    forecast: ForecastView | None
    attempt: int
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None
    architecture: str | None
    labels: dict[str, str]

    @classmethod
    def of(cls, job: SearchJob, architecture: str | None) -> "JobView":
        """What the API says of a row."""
        return cls.model_validate(
            {
                "id": job.id, "name": job.name, "state": job.state, "asked": job.wish or None, "owner": job.owner,
                "spec": job.spec, "pins": job.pins, "forecast": job.forecast, "attempt": job.attempt,
                "progress": job.progress,
                "created_at": job.created_at, "started_at": job.started_at, "finished_at": job.finished_at,
                "error": job.error, "architecture": architecture, "labels": job.spec["labels"],
            }
        )  # fmt: skip


class EventView(BaseModel):
    """Something that happened to a job. `id` counts from 1 within the job, without gaps."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    attempt: int
    step: int
    kind: str
    data: dict[str, Any]
    at: datetime

    @classmethod
    def of(cls, row: JobEvent) -> "EventView":
        """What the API says of a row."""
        return cls.model_validate(row)

    @property
    def is_final(self) -> bool:
        """Whether nothing comes behind it."""
        return self.kind == "state" and self.data.get("state") in ("succeeded", "failed", "cancelled")


class EventPage(BaseModel):
    """Events in order. `next_cursor` goes into `after`; it is there where more has happened already."""

    items: list[EventView]
    next_cursor: str | None


class ValidationView(BaseModel):
    """What would become of a job. `errors` are those of the problem that submitting it would give; `reachable` is there
    for every constraint whose table covers the space, `forecast` where space and data set are known.
    """

    valid: bool
    errors: list[dict[str, Any]]
    reachable: list[Range]
    missing: list[dict[str, Any]] = []
    architectures: int | None
    forecast: ForecastView | None = None
