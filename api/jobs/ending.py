"""The end of a job, whoever brings it about."""

from typing import Any

from sqlalchemy.orm import Session

from api.db.session import at, db_now
from api.jobs import compared, events
from api.jobs.asked import withdraw
from api.jobs.models import SearchJob


def finish(session: Session, job: SearchJob, state: str, **more: Any) -> None:
    """Brings a locked job to its end: nobody holds it, takes part in it or is asked for it any more."""
    job.wish, job.lease_worker, job.lease_expires_us = "", None, None
    job.finished_at = at(db_now(session))
    events.set_state(session, job, state, **more)
    compared.let_go(session, job)
    withdraw(session, job)
