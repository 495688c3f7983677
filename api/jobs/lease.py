"""The worker's door: what a worker does to a job, each write fenced by the lease.

Plain functions on a session; the caller commits. A lease is (job, attempt, worker): once another attempt has begun,
or the job has left the state `running`, nothing that the old one says is taken.

Errors:
    LeaseLost (Exception)   the job is no longer this attempt's: stop, and leave it alone
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.artifacts.store import StoredFile
from api.db.session import after_commit, at, db_now
from api.errors import problem
from api.ids import new_id
from api.jobs import attempts, compared, events
from api.jobs.ending import finish
from api.jobs.models import (
    CANCELLED,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Checkpoint,
    ComparedNetwork,
    JobEvent,
    SearchJob,
)
from api.jobs.pins import JobInputs, load
from api.telemetry.metrics import LEASE_EXPIRIES

__all__ = [
    "JobInputs", "Lease", "LeaseLost", "NewArchitecture", "Order", "begin_anew", "claim", "claim_next",
    "describe", "fail", "fenced", "has_lost_a_checkpoint", "heartbeat", "keep_log", "latest_checkpoint", "load",
    "release", "report", "save_checkpoint", "succeed",
]  # fmt: skip

_WAITING = (
    select(SearchJob.id)
    .where(SearchJob.state == QUEUED)
    .order_by(SearchJob.priority.desc(), SearchJob.id)  # ids sort by the time of making
    .limit(1)
    .with_for_update(skip_locked=True)
)
PROGRESS_FIELDS = ("phase", "step", "steps", "seconds_left")


class LeaseLost(Exception):
    """The job is no longer this attempt's."""


class Order(StrEnum):
    """What a heartbeat brings back. LOST: another attempt owns the job."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    PAUSE = "pause"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one attempt to write."""

    job_id: str
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArchitecture:
    """What a search gave. `layers` are rows of `api.architectures.layers`, `predicted` rows of `search.report.figures`;
    `candidates` names each layer's whole choice.
    """

    candidates: tuple[str, ...]
    predicted_latency_us: dict[str, float]
    predicted: list[dict[str, Any]]
    test_accuracy: float | None
    layers: list[dict[str, Any]]


def claim(session: Session, job_id: str, *, worker: str, lease_seconds: float, max_attempts: int = 3) -> Lease | None:
    """Takes a job that is queued, or whose lease has run out. None: somebody else has it, or it is not to be run.

    A job whose last `max_attempts` attempts were lost without a new checkpoint fails instead: it would take the next
    worker too.
    """
    job = events.locked(session, job_id)
    if job is None:
        return None
    now = db_now(session)
    if job.state == RUNNING and is_expired(job, now):
        expire(session, job, now)
    if job.state != QUEUED:
        return None
    if job.barren_attempts >= max_attempts:
        _fail(session, job, _poisoned(job, attempts.last_words(session, job)))
        return None
    job.attempt += 1
    job.barren_attempts += 1
    job.lease_worker, job.lease_expires_us = worker, now + _microseconds(lease_seconds)
    job.started_at = job.started_at or at(now)
    attempts.begin(session, job, worker=worker, now=now)
    events.set_state(session, job, RUNNING, worker=worker)
    return Lease(job.id, job.attempt, worker)


def claim_next(
    session: Session, rung_for: str, *, worker: str, lease_seconds: float, max_attempts: int = 3,
    last: Collection[str] = (),
) -> Lease | None:  # fmt: skip
    """Takes the waiting job of the highest priority, the oldest of equals, whichever was rung for. One of those that
    come `last` is taken where no other waits and it was rung for: a ring that another one takes is left to the sweeper.

    Celery hands rings out in the order in which they came, so a ring says that a job waits, and not which. There is a
    ring for each job that waits, so when one is spent on another job, that one's ring is left for the job named here;
    where a ring was lost the sweeper makes another. A job whose lease has run out waits too, once it is the one named:
    the sweep sees to others. Rows that another claim holds are passed over (SKIP LOCKED), so that workers that are
    rung at once take different jobs; where all are held, the one named is waited for.
    """
    take = partial(claim, session, worker=worker, lease_seconds=lease_seconds, max_attempts=max_attempts)
    named = session.get(SearchJob, rung_for)
    if named is not None and named.state == RUNNING:
        now, job = db_now(session), events.locked(session, rung_for, waits=False)
        if job is not None and job.state == RUNNING and is_expired(job, now):
            expire(session, job, now)
    others = _WAITING.where(SearchJob.id.not_in(last))
    while (found := session.scalars(others).first()) is not None:
        lease = take(found)
        if lease is not None:
            return lease  # else it was poison, and has failed
    return take(rung_for)


def heartbeat(session: Session, lease: Lease, lease_seconds: float) -> Order:
    """Keeps the lease for `lease_seconds` from now and brings back what the job's user wants."""
    job = events.locked(session, lease.job_id)
    if job is None or not _holds(job, lease):
        return Order.LOST
    job.lease_expires_us = db_now(session) + _microseconds(lease_seconds)
    return Order(job.wish) if job.wish else Order.CONTINUE


def report(session: Session, lease: Lease, *, kind: str, step: int, data: dict[str, Any]) -> None:
    """Adds an event; `progress` also becomes the job's progress. Raises LeaseLost."""
    job = fenced(session, lease)
    if kind == "progress":
        job.progress = {"step": step, **{name: data[name] for name in PROGRESS_FIELDS if name in data}}
    events.append(session, job, kind, data, step=step)


def describe(session: Session, lease: Lease, *, environment: dict[str, Any]) -> None:
    """Notes where the attempt runs. Raises LeaseLost."""
    attempts.current(session, fenced(session, lease)).environment = environment


def keep_log(session: Session, lease: Lease, text: str) -> None:
    """Replaces what is kept of the attempt's log, at most `api.jobs.attempts.LOG_BYTES`. Raises LeaseLost."""
    attempts.current(session, fenced(session, lease)).log = attempts.storable(text)


def save_checkpoint(session: Session, lease: Lease, *, step: int, artifact: StoredFile) -> list[str]:
    """Makes a stored file the job's checkpoint.

    Gives paths in the store that nothing names any more. Raises LeaseLost.
    """
    job = fenced(session, lease)
    stale = _forget_checkpoint(session, job)
    job.barren_attempts = 0
    session.add(
        Checkpoint(
            job_id=job.id, attempt=lease.attempt, step=step, path=artifact.path_in_store, bytes=artifact.bytes,
            sha256=artifact.sha256, created_at=at(db_now(session)),
        )
    )  # fmt: skip
    return [path for path in stale if path != artifact.path_in_store]


def begin_anew(session: Session, lease: Lease) -> list[str]:
    """Forgets the job's checkpoint, and networks of its comparison that rest on it.

    Gives paths in the store that nothing names any more. Raises LeaseLost.
    """
    job = fenced(session, lease)
    session.execute(delete(ComparedNetwork).where(ComparedNetwork.job_id == job.id))
    return _forget_checkpoint(session, job)


class KeptCheckpoint(NamedTuple):
    """Where in the store a job's checkpoint is, of which step, and what it was when it was kept."""

    path: str
    step: int
    sha256: str


def latest_checkpoint(session: Session, job_id: str) -> KeptCheckpoint | None:
    """The one that a job goes on from."""
    found = session.get(Checkpoint, job_id)
    return None if found is None else KeptCheckpoint(found.path, found.step, found.sha256)


def has_lost_a_checkpoint(session: Session, job_id: str) -> bool:
    """Whether the job began anew for want of its checkpoint: twice is no accident, but a worker of another store."""
    warnings = select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.kind == "warning")
    return any(data.get("lost") == "checkpoint" for data in session.scalars(warnings))


def succeed(
    session: Session,
    lease: Lease,
    *,
    architecture: NewArchitecture,
    artifacts: list[StoredFile],
    pace: dict[str, Any] | None = None,
) -> list[str]:
    """Ends the job with what it gave, and with the pace it had (`api.jobs.forecasting.measured_pace`).

    Gives paths in the store that nothing names any more. Raises LeaseLost.
    """
    job = fenced(session, lease)
    job.pace = pace
    now = at(db_now(session))
    derived = DerivedArchitecture(
        id=new_id("arc"), owner=job.owner, job_id=job.id, space=job.space["name"], created_at=now,
        candidates=list(architecture.candidates), predicted_latency_us=architecture.predicted_latency_us,
        predicted=architecture.predicted, test_accuracy=architecture.test_accuracy, layers=architecture.layers,
        measured=[],
    )  # fmt: skip
    files = [
        Artifact(
            id=new_id("art"), owner=job.owner, job_id=job.id, name=f.name, path=f.path_in_store, bytes=f.bytes,
            sha256=f.sha256, media_type=f.media_type, created_at=now,
        )
        for f in artifacts
    ]  # fmt: skip
    session.add_all([derived, *files])
    attempts.end(session, job, SUCCEEDED, now=db_now(session))
    finish(session, job, SUCCEEDED, architecture=derived.id)
    return _forget_checkpoint(session, job)


def fail(session: Session, lease: Lease, *, problem: dict[str, Any], traceback: str | None = None) -> list[str]:
    """Ends the job with a problem; `traceback` is kept with the attempt, its end.

    Gives paths in the store that nothing names any more. Raises LeaseLost.
    """
    job = fenced(session, lease)
    attempts.end(session, job, FAILED, now=db_now(session), problem=problem, traceback=traceback)
    return _fail(session, job, problem)


def release(
    session: Session, lease: Lease, *, state: Literal["queued", "paused", "cancelled"], reason: str,
    by_user: bool = False,
) -> None:  # fmt: skip
    """Gives the job back: an ordered end of the attempt, which does not count against it. Raises LeaseLost.

    What the job's user wished meanwhile comes first, also where a pause `by_user` was taken back. A queued one is
    announced by the next sweep.
    """
    job = fenced(session, lease)
    job.barren_attempts = max(0, job.barren_attempts - 1)
    if state == "paused" and by_user and not job.wish:
        state, reason = "queued", "its user took a pause back"
    now, becomes = db_now(session), _wished(job, state)
    attempts.end(session, job, attempts.RELEASED[becomes], now=now, reason=reason)
    _let_go(session, job, becomes, reason, now)


def is_expired(job: SearchJob, now: int) -> bool:
    """Whether the lease of a running job has run out."""
    return job.lease_expires_us is None or job.lease_expires_us <= now


def expire(session: Session, job: SearchJob, now: int) -> None:
    """Takes a locked job from a worker that fell silent."""
    after_commit(session, LEASE_EXPIRIES.labels(kind="search-job").inc)
    reason = f"the lease of {job.lease_worker} ran out"
    held_until = now if job.lease_expires_us is None else min(now, job.lease_expires_us)
    attempts.end(session, job, attempts.LOST, now=held_until, reason=reason)
    _let_go(session, job, _wished(job, QUEUED), reason, now)


def _wished(job: SearchJob, state: str) -> str:
    """What becomes of a job that would be `state`, when its user is heard: who wants it cancelled wants no pause."""
    if job.wish == "cancel":
        return CANCELLED
    return PAUSED if job.wish == "pause" and state == QUEUED else state


def _let_go(session: Session, job: SearchJob, state: str, reason: str, now: int) -> None:
    job.wish, job.lease_worker, job.lease_expires_us = "", None, None
    if state == CANCELLED:
        finish(session, job, CANCELLED, reason=reason)
        return
    job.rings, job.next_ring_us = 0, now
    events.set_state(session, job, state, reason=reason)
    compared.let_go(session, job)


def _fail(session: Session, job: SearchJob, problem: dict[str, Any]) -> list[str]:
    job.error = problem
    finish(session, job, FAILED, reason=problem.get("detail", ""))
    return _forget_checkpoint(session, job)


def _poisoned(job: SearchJob, last_words: str) -> dict[str, Any]:
    logged = f" The last of them logged at its end: {last_words}" if last_words else ""
    return problem(
        slug="workers-lost", title="Workers lost", status=500,
        detail=f"{job.barren_attempts} workers in a row were lost while they ran this job, and none came to a "
        "checkpoint. Memory that ran out is the usual cause: try a smaller batch_size. "
        f"`lutnas jobs log {job.id}` shows what the last one logged.{logged}",
        attempt=job.attempt,
    )  # fmt: skip


def _forget_checkpoint(session: Session, job: SearchJob) -> list[str]:
    gone = session.scalars(delete(Checkpoint).where(Checkpoint.job_id == job.id).returning(Checkpoint.path))
    return list(gone)


def _holds(job: SearchJob, lease: Lease) -> bool:
    return job.state == RUNNING and (job.attempt, job.lease_worker) == (lease.attempt, lease.worker)


def fenced(session: Session, lease: Lease) -> SearchJob:
    """The job of a lease that holds, locked. Raises LeaseLost."""
    job = events.locked(session, lease.job_id)
    if job is None or not _holds(job, lease):
        raise LeaseLost(f"{lease.job_id}: attempt {lease.attempt} of {lease.worker} has lost its lease")
    return job


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
