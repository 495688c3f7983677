"""The sweep: takes jobs from workers that fell silent, and says which to ring for (again)."""

from collections.abc import Sequence

from sqlalchemy import Select, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from api.db.session import db_now
from api.jobs import events
from api.jobs.lease import expire
from api.jobs.models import QUEUED, RUNNING, SearchJob, ServiceLease

_DOUBLINGS = 6  # the back-off ends at 64 times requeue_seconds
_LEASE_NAME = "sweeper"


def sweep(session: Session, now: int | None = None, *, requeue_seconds: float = 30.0) -> list[str]:
    """One round at `now` (by default the database's clock).

    Gives the jobs to ring for, once this unit of work is committed.
    """
    now = db_now(session) if now is None else now
    for job_id in session.scalars(_expired(now)).all():
        job = events.locked(session, job_id)
        if job is not None and job.state == RUNNING and (job.lease_expires_us or 0) <= now:  # not renewed meanwhile
            expire(session, job, now)
    session.flush()
    due = session.scalars(
        select(SearchJob)
        .where(SearchJob.state == QUEUED, SearchJob.next_ring_us <= now)
        .order_by(SearchJob.next_ring_us)
        .limit(1000)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        job.next_ring_us = now + round(requeue_seconds * 1_000_000) * 2 ** min(job.rings, _DOUBLINGS)
        job.rings += 1
    return [job.id for job in due]


def held_back(session: Session, now: int | None = None, *, requeue_seconds: float = 30.0) -> list[str]:
    """Queued jobs that nobody took within `requeue_seconds` of the last ring, and whose next is put off by back-off."""
    now = db_now(session) if now is None else now
    step = round(requeue_seconds * 1_000_000)
    waiting = select(SearchJob.id, SearchJob.next_ring_us, SearchJob.rings)
    rows = session.execute(waiting.where(SearchJob.state == QUEUED, SearchJob.next_ring_us > now, SearchJob.rings > 1))
    return [job_id for job_id, due, rings in rows if due - step * 2 ** min(rings - 1, _DOUBLINGS) + step <= now]


def ring_now(session: Session, job_ids: Sequence[str]) -> None:
    """Has the next sweep ring for those of them that are still queued, and the back-off begin anew."""
    found = (SearchJob.id.in_(job_ids)) & (SearchJob.state == QUEUED)
    session.execute(update(SearchJob).where(found).values(rings=0, next_ring_us=0))


def runnable_jobs(session: Session, now: int | None = None) -> list[str]:
    """Jobs that a claim would take: queued, or running under a lease that has run out. Oldest first."""
    now = db_now(session) if now is None else now
    queued = session.scalars(select(SearchJob.id).where(SearchJob.state == QUEUED)).all()
    return sorted([*queued, *session.scalars(_expired(now))])


def is_elected(session: Session, holder: str, *, seconds: float) -> bool:
    """Whether `holder` is the process that sweeps, for the next `seconds`; takes over from one that fell silent."""
    now = db_now(session)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {"holder": holder, "expires_us": now + round(seconds * 1_000_000)}
    statement = insert(ServiceLease).values(name=_LEASE_NAME, **values)
    taken = statement.on_conflict_do_update(
        index_elements=[ServiceLease.name],
        set_=values,
        where=(ServiceLease.holder == holder) | (ServiceLease.expires_us <= now),
    )
    return session.scalars(taken.returning(ServiceLease.name)).one_or_none() is not None


def resign(session: Session, holder: str) -> None:
    """Lets another process sweep at once."""
    mine = (ServiceLease.name == _LEASE_NAME) & (ServiceLease.holder == holder)
    session.execute(update(ServiceLease).where(mine).values(expires_us=0))


def _expired(now: int) -> Select[str]:
    return select(SearchJob.id).where(SearchJob.state == RUNNING, SearchJob.lease_expires_us <= now)
