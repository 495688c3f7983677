"""Attempts of a job: who tried, when, how it ended, and what was logged meanwhile.

The lease (`api.jobs.lease`) begins and ends them, on a job whose row is locked.

Errors:
    AttemptUnknown (NotFound)   404  unknown-attempt
"""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from api.db.session import at
from api.errors import NotFound
from api.jobs.models import JobAttempt, JobEvent, SearchJob
from api.paging import page

LOST = "lease-lost"
RELEASED = {"queued": "drained", "paused": "paused", "cancelled": "cancelled"}  # what an orderly end is called
TRACEBACK_CHARACTERS = 16_384  # its end is kept: the error stands there
LOG_BYTES = 262_144  # of UTF-8


class AttemptUnknown(NotFound):
    """The job has no attempt of that number."""

    slug = "unknown-attempt"
    title = "Unknown attempt"


def begin(session: Session, job: SearchJob, *, worker: str, now: int) -> None:
    """Notes that `worker` tries. `now` is that of the database."""
    session.add(
        JobAttempt(
            job_id=job.id, number=job.attempt, worker=worker, environment=None, started_at=at(now), ended_at=None,
            ended=None, reason=None, problem=None, last_step=None, traceback=None, log="",
        )
    )  # fmt: skip


def end(
    session: Session, job: SearchJob, ended: str, *, now: int, reason: str | None = None,
    problem: dict[str, Any] | None = None, traceback: str | None = None,
) -> None:  # fmt: skip
    """Notes how the newest attempt ended, with the last step that it reported."""
    attempt = current(session, job)
    steps = select(func.max(JobEvent.step)).where(
        JobEvent.job_id == job.id, JobEvent.attempt == job.attempt, JobEvent.kind == "progress"
    )
    ended_at = max(at(now), attempt.started_at)
    attempt.ended, attempt.ended_at, attempt.reason, attempt.problem = ended, ended_at, reason, problem
    attempt.last_step = session.scalar(steps)
    attempt.traceback = None if traceback is None else storable(traceback)[-TRACEBACK_CHARACTERS:]


def current(session: Session, job: SearchJob) -> JobAttempt:
    """The newest attempt of a job that was claimed."""
    return session.get_one(JobAttempt, (job.id, job.attempt))


def last_words(session: Session, job: SearchJob) -> str:
    """The last line that the newest attempt logged; empty where it logged nothing."""
    log = session.scalar(select(JobAttempt.log).where(JobAttempt.job_id == job.id, JobAttempt.number == job.attempt))
    return (log or "").rstrip("\n").rpartition("\n")[2]


def seconds_spent(session: Session, job_id: str) -> float:
    """What all attempts that have ended took together. One that was lost counts until its lease ran out."""
    ended = select(JobAttempt).where(JobAttempt.job_id == job_id)
    tries = session.scalars(ended)
    return sum((one.ended_at - one.started_at).total_seconds() for one in tries if one.ended_at is not None)


def list_page(
    session: Session, job: SearchJob, *, cursor: str | None, limit: int
) -> tuple[list[JobAttempt], str | None]:
    """The attempts of a job, first to last."""
    of_job = select(JobAttempt).where(JobAttempt.job_id == job.id)
    return page(session, of_job, JobAttempt.number, cursor=cursor, limit=limit)


def log_of(session: Session, job: SearchJob, number: int) -> str:
    """What was logged during an attempt. Raises AttemptUnknown."""
    attempt = session.get(JobAttempt, (job.id, number), options=[undefer(JobAttempt.log)])
    if attempt is None:
        raise AttemptUnknown(f"The job {job.id} has no attempt {number}: it was tried {job.attempt} times.")
    return attempt.log


def storable(text: str) -> str:
    """`text` with what no store may take (`api.db.types`) replaced: logs say what they like."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
