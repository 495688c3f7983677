"""Search jobs: the row with its lease, its events, its checkpoint, and the lease that elects the sweeper."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base
from api.idempotency import Keyed

QUEUED, RUNNING, PAUSED = "queued", "running", "paused"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
STATES = (QUEUED, RUNNING, PAUSED, SUCCEEDED, FAILED, CANCELLED)
OPEN = (QUEUED, RUNNING, PAUSED)
FINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})


class SearchJob(Keyed):
    """A job. Times that end in `_us` are epoch microseconds of the database's clock.

    `attempt` counts claims; with `lease_worker` it fences all that a worker writes. `barren_attempts` counts those
    since the last checkpoint. `wish` is what its user asked of a running job: "", "cancel" or "pause". `rings` counts
    announcements since it was queued, or had a network for another worker, and `next_ring_us` is when the sweeper makes
    the next. `forecast` is what was
    expected of it at submission, `pace` what its steps were measured at (`api.jobs.forecasting`). `reproduces` is the
    job that it repeats (`api.jobs.reproduction`), `extends` the one whose network it trains on (`api.jobs.extension`).
    `priority` and `limits` are its terms (`api.jobs.document`).
    """

    __tablename__ = "search_jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index(None, "state", "next_ring_us"),
        Index(None, "state", "lease_expires_us"),
        Index(None, "state", "priority", "id"),
        Index(None, "state", "finished_at"),  # the newest paces
        Index(None, "owner", "id"),  # an owner's newest
        Index(None, "owner", "state"),  # and how many are open
    )

    name: Mapped[str]
    state: Mapped[str]
    spec: Mapped[dict[str, Any]]
    space: Mapped[dict[str, Any]]
    pins: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None]
    forecast: Mapped[dict[str, Any] | None]
    pace: Mapped[dict[str, Any] | None]
    reproduces: Mapped[str | None]
    extends: Mapped[str | None]
    priority: Mapped[int]
    limits: Mapped[dict[str, Any]]
    wish: Mapped[str]
    attempt: Mapped[int]
    barren_attempts: Mapped[int]
    lease_worker: Mapped[str | None]
    lease_expires_us: Mapped[int | None]
    rings: Mapped[int]
    next_ring_us: Mapped[int]
    last_event_id: Mapped[int]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobLabel(Base):
    """A label of a job, to filter by."""

    __tablename__ = "job_labels"
    __table_args__ = (Index(None, "name", "value"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class JobEvent(Base):
    """What happened to a job, numbered from 1 without gaps by the job's row."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    step: Mapped[int]
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class JobAttempt(Base):
    """One claim of a job by a worker (`api.jobs.attempts`). `ended` is None while it runs, then one of succeeded,
    failed, lease-lost, drained, paused, cancelled. `log` is what the worker logged meanwhile, its end.
    """

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str]
    environment: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended: Mapped[str | None]
    reason: Mapped[str | None]
    problem: Mapped[dict[str, Any] | None]
    last_step: Mapped[int | None]
    traceback: Mapped[str | None]
    log: Mapped[str] = mapped_column(deferred=True)


class ComparedNetwork(Base):
    """One network of the comparison of a job whose own training is done (`api.jobs.compared`), numbered from 1 as
    events tell it. `state` is queued, running or done.

    `attempt` counts claims; with `worker` it fences what another worker writes, under a lease to `lease_expires_us`.
    The job's own attempt holds its one without: that is None. `lost` counts leases that ran out. One with a `problem`
    is for the job's own attempt alone. `result` is a `search.report.compared.ComparedRun`.
    """

    __tablename__ = "compared_networks"
    __table_args__ = (Index(None, "state", "lease_expires_us"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    method: Mapped[str]
    share: Mapped[float] = mapped_column(Float(53))
    seed: Mapped[int]
    state: Mapped[str]
    attempt: Mapped[int]
    lost: Mapped[int]
    worker: Mapped[str | None]
    lease_expires_us: Mapped[int | None]
    step: Mapped[int]
    steps: Mapped[int]
    result: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    problem: Mapped[dict[str, Any] | None]
    environment: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Checkpoint(Base):
    """The newest checkpoint of a job."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"), primary_key=True)
    attempt: Mapped[int]
    step: Mapped[int]
    path: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime]


class ServiceLease(Base):
    """Which process does a thing that one process at a time should do, such as sweeping."""

    __tablename__ = "service_leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_us: Mapped[int]
