"""Search jobs, on the side of those who submit them.

JobUnknown (NotFound)         404  unknown-job
JobFinished (DomainError)     409  job-finished: what was asked comes too late
TooManyJobs (DomainError)     409  too-many-jobs: others have to end first
KeyReused (DomainError)       409  see api.idempotency
JobRefused (DomainError)      422  see api.jobs.assessment
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.artifacts.quota import take_turn
from api.audit.trail import about
from api.auth.callers import Owner
from api.datasets.schemas import Examples
from api.db.session import after_commit, at, db_now, insert
from api.errors import DomainError, NotFound
from api.idempotency import body_hash, made_before
from api.ids import new_id
from api.jobs import compared, events
from api.jobs.assessment import Assessment
from api.jobs.document import JobDocument, Limits
from api.jobs.ending import finish
from api.jobs.forecasting import forecast
from api.jobs.models import CANCELLED, FINAL, OPEN, PAUSED, QUEUED, RUNNING, JobLabel, SearchJob
from api.jobs.submission import assess
from api.tables.models import Table
from api.tables.rows import correction_of
from search.constraints import DeviceConstraint
from search.space import Space
from search.spec import SearchSpec

Ring = Callable[[str], object]


class JobUnknown(NotFound):
    """No job of that id."""

    slug = "unknown-job"
    title = "Unknown job"

    @classmethod
    def of(cls, job_id: str) -> "JobUnknown":
        """The error for an id that leads nowhere, or to what is not seen."""
        return cls(f"There is no job {job_id!r}: `GET /v1/search-jobs` lists yours.")


class JobFinished(DomainError):
    """The job has come to its end."""

    status = 409
    slug = "job-finished"
    title = "Job finished"


class TooManyJobs(DomainError):
    """The owner has as many jobs as it may that are not at their end."""

    status = 409
    slug = "too-many-jobs"
    title = "Too many jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as it arrives. `threads` is pinned; `requeue_seconds` is when it is announced again if nobody took it;
    `max_open_jobs` of its owner may be not at their end, with this one.
    """

    spec: JobDocument
    idempotency_key: str | None
    threads: int
    requeue_seconds: float
    max_open_jobs: int


def prepare(session: Session, owner: Owner, submission: Submission) -> Assessment | None:
    """What the job needs, looked up in a unit of work that only reads: one that writes keeps others out meanwhile, and
    nothing that is found here goes away. None where the key's first job is the answer.

    Raises JobRefused, KeyReused, TooManyJobs.
    """
    if _made_before(session, owner, submission) is not None:
        return None
    check_room(session, owner.name, submission.max_open_jobs)
    found = assess(session, owner, submission.spec)
    found.raise_any()
    return found


def submit(
    session: Session, owner: Owner, submission: Submission, found: Assessment | None, ring: Ring
) -> tuple[SearchJob, bool]:
    """Queues a job for which `prepare` has `found` what it needs, and rings for it once committed. The second part is
    False where the key's first job answers instead. Raises KeyReused, TooManyJobs.
    """
    take_turn(session, owner.name)
    if (standing := _made_before(session, owner, submission)) is not None:
        return standing, False
    assert found is not None  # jobs are never deleted
    check_room(session, owner.name, submission.max_open_jobs)
    digest = body_hash(submission.spec.told_apart_by)
    return queue(session, _new_job(session, owner.name, submission, found, digest), digest=digest, ring=ring)


def _made_before(session: Session, owner: Owner, submission: Submission) -> SearchJob | None:
    digest = body_hash(submission.spec.told_apart_by)

    def is_of_body(job: SearchJob) -> bool:
        if job.reproduces is not None or job.extends is not None:
            return False
        document = {**job.spec, "priority": job.priority, "limits": job.limits}
        try:
            return JobDocument.model_validate(document) == submission.spec
        except ValidationError:  # it was submitted to a version that took other documents
            return False

    return made_before(session, SearchJob, owner.name, submission.idempotency_key, digest, is_of_body)


def queue(session: Session, job: SearchJob, *, digest: str, ring: Ring) -> tuple[SearchJob, bool]:
    """Keeps a new job with its labels and rings for it once committed. The second part is False where the first job of
    its idempotency key answers instead. Raises KeyReused where that came of another body than `digest`.
    """
    if not insert(session, job):
        standing = made_before(session, SearchJob, job.owner, job.idempotency_key, digest)
        assert standing is not None  # ids are random: what else than the key can be taken
        return standing, False
    session.add_all(JobLabel(job_id=job.id, name=n, value=v) for n, v in job.spec["labels"].items())
    events.set_state(session, job, QUEUED)
    about(session, job.id)
    after_commit(session, lambda: ring(job.id))
    return job, True


def get(session: Session, owner: Owner, job_id: str) -> SearchJob:
    """A job that `owner` sees; raises JobUnknown."""
    job = session.get(SearchJob, job_id)
    if job is None or not owner.sees(job.owner):
        raise JobUnknown.of(job_id)
    return job


def cancel(session: Session, owner: Owner, job_id: str) -> SearchJob:
    """Ends a job: at once if no worker has it, else at the worker's next step. Raises JobUnknown, JobFinished."""
    job = _locked(session, owner, job_id)
    if job.state == CANCELLED:
        return job
    _not_final(job, "cancelled")
    if job.state == RUNNING:
        job.wish = "cancel"
        return job
    finish(session, job, CANCELLED, reason="cancelled by its user")
    return job


def pause(session: Session, owner: Owner, job_id: str) -> SearchJob:
    """Sets a job aside: at once if no worker has it, else at the worker's next step. Raises JobUnknown, JobFinished."""
    job = _locked(session, owner, job_id)
    _not_final(job, "paused")
    if job.state == RUNNING and not job.wish:
        job.wish = "pause"
    elif job.state == QUEUED:
        events.set_state(session, job, PAUSED, reason="paused by its user")
        compared.let_go(session, job)
    return job


def resume(session: Session, owner: Owner, job_id: str, *, requeue_seconds: float, ring: Ring) -> SearchJob:
    """Takes a paused job up again, or takes back a pause. Raises JobUnknown, JobFinished."""
    job = _locked(session, owner, job_id)
    _not_final(job, "resumed")
    if job.state == RUNNING and job.wish == "pause":
        job.wish = ""
    elif job.state == PAUSED:
        job.rings, job.next_ring_us = 1, db_now(session) + round(requeue_seconds * 1_000_000)
        events.set_state(session, job, QUEUED, reason="resumed by its user")
        after_commit(session, lambda: ring(job.id))
    return job


def check_room(session: Session, owner: str, most: int) -> None:
    """Raises TooManyJobs. Exact after `take_turn`."""
    open_jobs = select(func.count()).where(SearchJob.owner == owner, SearchJob.state.in_(OPEN))
    if (session.scalar(open_jobs) or 0) >= most:
        raise TooManyJobs(
            f"{owner} has {most} jobs that are not at their end, and may have no more: cancel some, or wait."
        )


def _locked(session: Session, owner: Owner, job_id: str) -> SearchJob:
    get(session, owner, job_id)
    job = events.locked(session, job_id)
    assert job is not None  # jobs are never deleted
    return job


def _not_final(job: SearchJob, asked: str) -> None:
    if job.state in FINAL:
        raise JobFinished(f"The job {job.id} is {job.state} and cannot be {asked}.")


def _pinned_correction(table: Table) -> dict[str, float] | None:
    correction = correction_of(table)
    return None if correction is None else correction._asdict()


def _new_job(session: Session, owner: str, submission: Submission, found: Assessment, spec_hash: str) -> SearchJob:
    assert found.space is not None
    assert found.dataset is not None
    spec = submission.spec
    tables = [
        {"constraint": number, "device": constraint.device, "table": found.tables[number].id,
         "content_hash": found.tables[number].content_hash, "correction": _pinned_correction(found.tables[number])}
        for number, constraint in enumerate(spec.constraints)
        if isinstance(constraint, DeviceConstraint)
    ]  # fmt: skip
    dataset_id = None if found.dataset.origin == "built-in" else found.dataset.id
    pins = {
        "tables": tables, "dataset_hash": found.dataset.content_hash, "dataset_id": dataset_id,
        "threads": submission.threads,
        "pretrained": None if found.pretrained is None else found.pretrained.id,
        "architecture": None if found.architecture is None else found.architecture.id,
    }  # fmt: skip
    return new_row(
        session, owner, SearchSpec.model_validate(spec.search_document), found.space, pins,
        examples=found.dataset.examples, priority=spec.priority, limits=spec.limits,
        key=submission.idempotency_key, digest=spec_hash, requeue_seconds=submission.requeue_seconds,
    )  # fmt: skip


def new_row(
    session: Session, owner: str, spec: SearchSpec, space: Space, pins: dict[str, Any], *, examples: Examples,
    priority: int, limits: Limits, key: str | None, digest: str, requeue_seconds: float,
    reproduces: str | None = None, extends: str | None = None,
) -> SearchJob:  # fmt: skip
    """A job that waits for a worker, not kept yet. `digest` is of what was asked."""
    now, threads, trains_only = db_now(session), pins["threads"], extends is not None
    return SearchJob(
        id=new_id("job"), owner=owner, name=spec.name, state=QUEUED, spec=spec.model_dump(mode="json"),
        space=space.model_dump(mode="json"), pins=pins, progress={}, error=None, wish="", attempt=0,
        forecast=forecast(session, spec, space, examples=examples, threads=threads, trains_only=trains_only), pace=None,
        barren_attempts=0, lease_worker=None, lease_expires_us=None, rings=1,
        next_ring_us=now + round(requeue_seconds * 1_000_000), last_event_id=0, reproduces=reproduces,
        extends=extends,
        priority=priority, limits=limits.model_dump(mode="json", exclude_none=True),
        idempotency_key=key, idempotency_hash=digest if key is not None else None, created_at=at(now),
        started_at=None, finished_at=None,
    )  # fmt: skip
