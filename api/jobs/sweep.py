"""The sweep: takes jobs, and networks of their comparisons, from workers that fell silent, ends what devices were asked
and should leave when theirs did, and says which jobs to ring for (again).
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from api.db.session import db_now
from api.jobs import compared, events
from api.jobs.lease import expire
from api.jobs.models import QUEUED, RUNNING, SearchJob, ServiceLease
from api.requests.lease import end_cancelled

_AT_ONCE = 500  # of ids in a statement: databases bound how many values it has
_DOUBLINGS = 6  # the back-off ends at 64 times requeue_seconds
_LEASE_NAME = "sweeper"


def sweep(
    session: Session, now: int | None = None, *, requeue_seconds: float = 30.0, max_attempts: int = 3
) -> list[str]:
    """One round at `now` (by default the database's clock). A job whose row is held is left to a later one.

    Gives the jobs to ring for, once this unit of work is committed.
    """
    now = db_now(session) if now is None else now
    for job_id in session.scalars(_expired(now)).all():
        job = events.locked(session, job_id, waits=False)
        if job is not None and job.state == RUNNING and (job.lease_expires_us or 0) <= now:  # not renewed meanwhile
            expire(session, job, now)
    for job_id in session.scalars(compared.with_silent_workers(now)).all():
        if (job := events.locked(session, job_id, waits=False)) is not None:
            compared.expire(session, job, now, max_attempts=max_attempts)
    end_cancelled(session, now)
    session.flush()
    due = session.scalars(
        select(SearchJob)
        .where(_waits(), SearchJob.next_ring_us <= now)
        .order_by(SearchJob.next_ring_us)
        .limit(1000)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        job.next_ring_us = now + round(requeue_seconds * 1_000_000) * 2 ** min(job.rings, _DOUBLINGS)
        job.rings += 1
    return [job.id for job in due]


def held_back(session: Session, now: int | None = None, *, requeue_seconds: float = 30.0) -> list[str]:
    """Jobs that wait, or whose networks do, and that nobody took within `requeue_seconds` of the last ring, while the
    back-off puts off the next.
    """
    now = db_now(session) if now is None else now
    step = round(requeue_seconds * 1_000_000)
    waiting = select(SearchJob.id, SearchJob.next_ring_us, SearchJob.rings)
    rows = session.execute(waiting.where(_waits(), SearchJob.next_ring_us > now, SearchJob.rings > 1))
    return [job_id for job_id, due, rings in rows if due - step * 2 ** min(rings - 1, _DOUBLINGS) + step <= now]


def ring_now(session: Session, job_ids: Sequence[str]) -> None:
    """Has the next sweep ring for those of them that still wait, and the back-off begin anew; not for held rows."""
    for start in range(0, len(job_ids), _AT_ONCE):
        some = SearchJob.id.in_(job_ids[start : start + _AT_ONCE])
        waiting = select(SearchJob.id).where(some, _waits()).with_for_update(skip_locked=True)
        free = session.scalars(waiting).all()
        session.execute(update(SearchJob).where(SearchJob.id.in_(free)).values(rings=0, next_ring_us=0))


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


def _waits() -> ColumnElement[bool]:
    """A job that waits, or whose networks do. Those that have ended, which are the most, are left out by the index."""
    return SearchJob.state.in_((QUEUED, RUNNING)) & ((SearchJob.state == QUEUED) | compared.has_work())
