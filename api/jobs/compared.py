"""Networks of a job's comparison that several workers share: the row of each, and the door of a worker that trains one.

The rows are made by the job's own attempt (`api.jobs.sharing`). It holds the one that it trains by its own lease, which
the job's row has; a worker that has nothing else to do holds one by a lease of the row. That is (job, number, attempt,
worker), where the attempt counts claims of the row: once it was claimed again or let go, nothing that the old one says
is taken. Such a worker goes on while the job waits for its next attempt, as nothing that it does depends on that.

The row of the job is locked before those of its networks. The caller commits.

Errors:
    NetworkLost (Exception)   the network is no longer this worker's: stop, and leave it alone
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.orm import Session, undefer

from api.db.session import after_commit, at, db_now
from api.errors import problem
from api.jobs import attempts, events
from api.jobs.models import QUEUED, RUNNING, ComparedNetwork, SearchJob
from api.paging import page
from api.telemetry.metrics import LEASE_EXPIRIES

DONE = "done"
OWN = 1  # the number of the job's own network: its training is done, and its attempt judges it
_LOCK = {"populate_existing": True}


class NetworkLost(Exception):
    """The network is no longer this worker's."""


@dataclass(frozen=True, slots=True)
class NetworkLease:
    """The right of one worker to train a network."""

    job_id: str
    number: int
    attempt: int
    worker: str


def job_with_work(session: Session, here: Mapping[str, Any], *, last: Collection[str] = ()) -> str | None:
    """The running job of the highest priority that has a network for a worker which runs in the environment `here`
    (without threads, which a job fixes): one that is recorded in another would give other bits. One of those that come
    `last` where no other has.
    """
    found = session.scalars(select(SearchJob).where(has_work()).order_by(SearchJob.priority.desc(), SearchJob.id))
    fitting = [job.id for job in found if _runs_in(session, job, here)]
    return next(iter(sorted(fitting, key=lambda job_id: job_id in last)), None)


def claim(
    session: Session, job_id: str, *, worker: str, here: Mapping[str, Any], lease_seconds: float
) -> NetworkLease | None:
    """Takes the first network of the job that nobody has. None: there is none, or a job waits, which comes first."""
    if session.scalars(select(SearchJob.id).where(SearchJob.state == QUEUED).limit(1)).first() is not None:
        return None
    job = events.locked(session, job_id)
    if job is None or job.state != RUNNING or not _runs_in(session, job, here):
        return None
    free = list(session.scalars(_of_job(job_id).where(_is_free()).limit(2), execution_options=_LOCK))
    if not free:
        return None
    now, row = db_now(session), free[0]
    begin(row, worker, now)
    row.lease_expires_us, row.environment = now + round(lease_seconds * 1_000_000), _environment(session, job)
    if len(free) > 1:
        ring_soon(job, now)  # who heard this ring is busy: the next one is for another
    return NetworkLease(job_id, row.number, row.attempt, worker)


def heartbeat(session: Session, lease: NetworkLease, *, step: int, lease_seconds: float) -> bool:
    """Keeps the lease and notes the steps done. False: the network is no longer this worker's."""
    until = db_now(session) + round(lease_seconds * 1_000_000)
    return _write(session, lease, step=step, lease_expires_us=until)


def finish(session: Session, lease: NetworkLease, *, step: int, result: dict[str, Any]) -> None:
    """Notes what came of the network. Raises NetworkLost."""
    ended = at(db_now(session))
    if not _write(session, lease, state=DONE, step=step, result=result, lease_expires_us=None, ended_at=ended):
        raise NetworkLost(f"{lease.job_id}: network {lease.number} is no longer that of {lease.worker}")


def give_back(session: Session, lease: NetworkLease, *, problem: dict[str, Any] | None = None) -> None:
    """Puts the network back among those that wait, in order; with a `problem` for the job's own attempt alone, which
    meets it too where it is the job's, and fails as ever. Raises NetworkLost.
    """
    job = events.locked(session, lease.job_id)
    assert job is not None
    if not _write(session, lease, state=QUEUED, step=0, worker=None, lease_expires_us=None, problem=problem):
        raise NetworkLost(f"{lease.job_id}: network {lease.number} is no longer that of {lease.worker}")
    if job.state == RUNNING:
        ring_soon(job, db_now(session))


def begin(row: ComparedNetwork, worker: str, now: int) -> None:
    """A worker begins with a locked row."""
    row.state, row.worker, row.step = RUNNING, worker, 0
    row.attempt += 1
    row.started_at, row.ended_at = at(now), None


def let_go(session: Session, job: SearchJob) -> None:
    """What the networks of a locked job do when it no longer runs: the one of its own attempt waits again. Those of
    other workers go on where the job only waits for its next attempt, else they wait too.
    """
    held = (ComparedNetwork.job_id == job.id) & (ComparedNetwork.state == RUNNING)
    if job.state == QUEUED:
        held &= ComparedNetwork.lease_expires_us.is_(None)
    waiting = {"state": QUEUED, "step": 0, "worker": None, "lease_expires_us": None}
    session.execute(update(ComparedNetwork).where(held).values(waiting))


def expire(session: Session, job: SearchJob, now: int, *, max_attempts: int) -> None:
    """Takes networks of a locked job from other workers that fell silent, but for those whose row is held. One that
    took `max_attempts` of them is for the job's own attempt alone: that keeps checkpoints, and fails the job where the
    network takes it too.
    """
    ran_out = _of_job(job.id).where(ComparedNetwork.state == RUNNING, ComparedNetwork.lease_expires_us <= now)
    for row in session.scalars(ran_out.with_for_update(skip_locked=True), execution_options=_LOCK):
        after_commit(session, LEASE_EXPIRIES.labels(kind="compared-network").inc)
        row.lost += 1
        if row.lost >= max_attempts:
            row.problem = problem(
                slug="workers-lost", title="Workers lost", status=500,
                detail=f"{row.lost} workers were lost while they trained this network, the last of them {row.worker}. "
                "The job's own worker trains it. Memory that ran out is the usual cause.",
            )  # fmt: skip
        row.state, row.step, row.worker, row.lease_expires_us = QUEUED, 0, None, None
        ring_soon(job, now)


def with_silent_workers(now: int) -> Select[str]:
    """Jobs of which another worker that trains a network fell silent."""
    expired = (ComparedNetwork.state == RUNNING) & (ComparedNetwork.lease_expires_us <= now)
    return select(ComparedNetwork.job_id).where(expired).distinct()


def has_work() -> ColumnElement[bool]:
    """Whether a job runs and has a network for another worker."""
    of_job = select(ComparedNetwork.number).where(ComparedNetwork.job_id == SearchJob.id, _is_free())
    return (SearchJob.state == RUNNING) & of_job.exists()


def ring_soon(job: SearchJob, now: int) -> None:
    """Has the next sweep ring for a locked job."""
    job.rings, job.next_ring_us = 0, now


def list_page(
    session: Session, job: SearchJob, *, cursor: str | None, limit: int
) -> tuple[list[ComparedNetwork], str | None]:
    """The networks of a job's comparison, in order. None before its own training is done."""
    of_job = select(ComparedNetwork).where(ComparedNetwork.job_id == job.id).options(undefer(ComparedNetwork.result))
    return page(session, of_job, ComparedNetwork.number, cursor=cursor, limit=limit)


def _of_job(job_id: Any) -> Select[ComparedNetwork]:
    return select(ComparedNetwork).where(ComparedNetwork.job_id == job_id).order_by(ComparedNetwork.number)


def _is_free() -> ColumnElement[bool]:
    """Whether a network is for another worker to take."""
    return (ComparedNetwork.state == QUEUED) & (ComparedNetwork.number > OWN) & ComparedNetwork.problem.is_(None)


def _runs_in(session: Session, job: SearchJob, here: Mapping[str, Any]) -> bool:
    return _environment(session, job) == {**here, "threads": job.pins["threads"]}


def _environment(session: Session, job: SearchJob) -> dict[str, Any] | None:
    """Where the job's own attempt runs."""
    return attempts.current(session, job).environment


def _write(session: Session, lease: NetworkLease, **values: Any) -> bool:
    """One fenced write. It locks no row of a job: a job that ends, or is set aside, lets its networks go."""
    mine = (
        (ComparedNetwork.job_id == lease.job_id)
        & (ComparedNetwork.number == lease.number)
        & (ComparedNetwork.attempt == lease.attempt)
        & (ComparedNetwork.worker == lease.worker)
        & (ComparedNetwork.state == RUNNING)
    )
    written = update(ComparedNetwork).where(mine).values(**values).returning(ComparedNetwork.number)
    return session.scalars(written, execution_options={"synchronize_session": False}).one_or_none() is not None
