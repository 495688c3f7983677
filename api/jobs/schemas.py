"""Search jobs as the API shows them. A job as people write it is `api.jobs.document.JobDocument`."""

from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.architectures.schemas import LayerView
from api.jobs.document import Limits
from api.jobs.figures import Range
from api.jobs.models import ComparedNetwork, JobAttempt, JobEvent, SearchJob
from api.tables.schemas import CorrectionView
from search.constraints import Constraints
from search.document import Document
from search.report.figures import Figure

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class TablePin(BaseModel):
    """The table of one constraint, fixed at submission with the correction it had. `constraint` counts from 0."""

    constraint: int
    device: str
    table: str
    content_hash: str
    correction: CorrectionView | None = None


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
    trial_steps: int
    teach_steps: int = 0  # forecasts of older jobs know none
    finish_steps: int
    compare_steps: int = 0  # jobs of earlier versions know none
    rests_on: str


class JobView(BaseModel):
    """A search job. `asked` is what its user wants of a running one and the worker has not done yet; `forecast` is
    that of its submission, `reproduces` the job that it repeats, `extends` the one whose network it trains on: of the
    search in `spec` it does the finish alone.
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
    reproduces: str | None
    extends: str | None
    priority: int
    limits: Limits

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
                "reproduces": job.reproduces, "extends": job.extends, "priority": job.priority, "limits": job.limits,
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

    @cached_property
    def text(self) -> str:
        """As JSON, made once for all who follow the job."""
        return self.model_dump_json()

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self.kind == "state" and self.data.get("state") in ("succeeded", "failed", "cancelled")


class EventPage(BaseModel):
    """Events in order. `next_cursor` goes into `after`; it is there where more has happened already."""

    items: list[EventView]
    next_cursor: str | None


Ended = Literal["succeeded", "failed", "lease-lost", "drained", "paused", "cancelled"]


class AttemptView(BaseModel):
    """One claim of a job by a worker. `ended` is null while it runs; `lease-lost` is a worker that fell silent,
    `drained` one that was told to stop, or that no store gave the job's files. `problem` and `traceback` (its end) are
    those of a failure; `environment` is null until the inputs are loaded, `last_step` until it has ended.
    """

    model_config = ConfigDict(from_attributes=True)

    number: int
    worker: str
    environment: dict[str, Any] | None
    started_at: datetime
    ended_at: datetime | None
    ended: Ended | None
    reason: str | None
    problem: dict[str, Any] | None
    last_step: int | None
    traceback: str | None

    @classmethod
    def of(cls, row: JobAttempt) -> "AttemptView":
        """What the API says of a row."""
        return cls.model_validate(row)


class ComparedNetworkView(BaseModel):
    """One network of the comparison of a job, numbered from 1. `share` is that of the job's budgets. `worker` has it,
    or had it when it was done; `attempt` counts those that began it, `lost` those that fell silent, the job's own
    apart. One with a `problem`, which is what another worker met, is left to the job's own. What it was worth `before`
    and `after` its training, and what it is predicted to take by the names of the budgets, are null until it is done.
    """

    number: int
    method: str
    share: float
    seed: int
    state: Literal["queued", "running", "done"]
    worker: str | None
    attempt: int
    lost: int
    step: int
    steps: int
    before: float | None
    after: float | None
    predicted: dict[str, float] | None
    environment: dict[str, Any] | None
    problem: dict[str, Any] | None
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, row: ComparedNetwork) -> "ComparedNetworkView":
        """What the API says of a row."""
        came = ("before", "after", "predicted")
        told = {name: getattr(row, name) for name in cls.model_fields if name not in came}
        return cls.model_validate({**told, **{name: (row.result or {}).get(name) for name in came}})


class ComparedFile(BaseModel):
    """One file of two jobs, by sha256; null where a job left none."""

    name: str
    same: bool
    first: str | None
    again: str | None


class Difference(BaseModel):
    """What two environments do not have in common; null where a report does not tell it."""

    name: str
    first: str | int | None
    again: str | int | None


class ReproductionView(BaseModel):
    """Whether a job came out as the one it repeats; `same` is null, and nothing is compared, until it has succeeded.
    `environment` tells where the two ran differently: empty where nowhere, null where a report cannot be read.
    """

    job: str
    reproduces: str
    state: State
    same: bool | None
    files: list[ComparedFile]
    environment: list[Difference] | None


class Derivation(Document):
    """New constraints for a search that is done: the `count` best architectures, or with `front` the front of worth
    against the first constraint while the others hold.
    """

    constraints: Constraints
    count: Annotated[int, Field(ge=1, le=16)] = 1
    front: bool = False

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.front and "count" in self.model_fields_set:
            raise ValueError("front: has as many architectures as it has; leave count away")
        return self


class DerivedView(BaseModel):
    """An architecture that nobody trained. `worth` is what the search would expect of it, to compare by."""

    candidates: list[str]
    worth: float
    predicted: list[Figure]
    layers: list[LayerView]


class DerivationView(BaseModel):
    """Architectures for new constraints, best first (a front: cheapest first). What the worth rests on is told by
    `samples`, the sub-networks scored, and `rank_correlation` on those held out.
    """

    job: str
    samples: int
    rank_correlation: float | None
    note: str
    reachable: list[Range]
    architectures: list[DerivedView]


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
