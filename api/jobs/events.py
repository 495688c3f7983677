"""Events of a job: numbered on its row, so that the order and the lack of gaps come from one lock."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.session import at, db_now
from api.jobs.models import JobEvent, SearchJob
from api.webhooks import outbox


def locked(session: Session, job_id: str, *, waits: bool = True) -> SearchJob | None:
    """The job's row, held until the unit of work ends: on Postgres by a row lock, on SQLite by the one writer. Where
    another holds it, who `waits` not goes without: one whose machine is gone may hold it for long.
    """
    statement = select(SearchJob).where(SearchJob.id == job_id).with_for_update(skip_locked=not waits)
    return session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()


def append(session: Session, job: SearchJob, kind: str, data: dict[str, Any], *, step: int | None = None) -> None:
    """Adds an event to a job whose row is locked. `step` is by default that of the job's progress."""
    job.last_event_id += 1
    session.add(
        JobEvent(
            job_id=job.id, id=job.last_event_id, attempt=job.attempt, kind=kind, data=data, at=at(db_now(session)),
            step=job.progress.get("step", 0) if step is None else step,
        )
    )  # fmt: skip


def set_state(session: Session, job: SearchJob, state: str, *, reason: str = "", **more: Any) -> None:
    """Changes the state of a locked job and says so in an event, and to the webhooks that want to hear of it."""
    job.state = state
    told = {"state": state, **({"reason": reason} if reason else {}), **more}
    append(session, job, "state", told)
    outbox.announce(session, job, state, told)


def after(session: Session, job_id: str, event_id: int, limit: int) -> list[JobEvent]:
    """Up to `limit` events after `event_id`, in order."""
    behind = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > event_id)
    return list(session.scalars(behind.order_by(JobEvent.id).limit(limit)))
