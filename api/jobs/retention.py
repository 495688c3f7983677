"""What is kept of jobs that have ended and of messages to webhooks, and for how long; files that no row names.

State changes, attempts, artifacts and architectures stay for ever. A file that is on its way into the store has no row
yet: files younger than a while are left alone, and all those of an attempt that still runs.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, delete, func, select, tuple_
from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore, Found, StoreAway
from api.db.base import Base
from api.db.session import Database, at, db_now
from api.jobs.models import FINAL, RUNNING, Checkpoint, JobEvent, SearchJob
from api.settings import Settings
from api.webhooks.models import PENDING, WebhookDelivery

_JOBS_A_ROUND, _ROWS_A_ROUND = 100, 10_000  # that go in one unit of work: on SQLite all other writers wait for it
_OF_JOB = re.compile(r"jobs/(?P<job>[^/]+)/(?P<attempt>\d+)/[^/]+")  # half-written ones too: they lie beside
_OF_DATA = re.compile(r"datasets/(dst_\w{20}\.npz|\.dst_\w{20}\.npz\.[0-9a-f]{16})")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """How much went, or would go; `bytes` are those of checkpoints and files."""

    checkpoints: int
    distributions: int
    events: int
    files: int
    bytes: int
    deliveries: int = 0


def collect(database: Database, store: ArtifactStore, settings: Settings, *, dry_run: bool = False) -> Collected:
    """Removes what has been kept long enough, and says what. Safe beside workers, and to be run twice at once."""
    with database.read() as session:
        now = at(db_now(session))
    checkpoints, size = _checkpoints(database, store, now - timedelta(days=settings.keep_checkpoints_days), dry_run)
    is_distribution = JobEvent.kind == "distribution"
    distributions = _events(database, is_distribution, now - timedelta(days=settings.keep_distributions_days), dry_run)
    others = JobEvent.kind.not_in(("state", "distribution"))
    events = _events(database, others, now - timedelta(days=settings.keep_events_days), dry_run)
    told = _deliveries(database, now - timedelta(days=settings.keep_events_days), dry_run)
    files = _orphans(database, store, now - timedelta(seconds=settings.keep_unnamed_seconds), dry_run)
    found = Collected(checkpoints, distributions, events, len(files), size + sum(files), told)
    if not dry_run and any(asdict(found).values()):
        _logger.info("collected %s", ", ".join(f"{count} {what}" for what, count in asdict(found).items()))
    return found


def _over(before: datetime) -> ColumnElement[bool]:
    return SearchJob.state.in_(FINAL) & (SearchJob.finished_at < before)


def _checkpoints(database: Database, store: ArtifactStore, before: datetime, dry_run: bool) -> tuple[int, int]:
    """How many, and their bytes. The rows go first: where the store is away, or this is cut short, the files that are
    left are found as orphans later.
    """
    with database.read() if dry_run else database.write() as session:
        old = select(Checkpoint).join(SearchJob, SearchJob.id == Checkpoint.job_id).where(_over(before))
        rows = list(session.scalars(old))
        if not dry_run:
            session.execute(delete(Checkpoint).where(Checkpoint.job_id.in_([row.job_id for row in rows])))
    if not dry_run:
        with suppress(StoreAway):  # the next file would wait as long; listing them tells
            for row in rows:
                store.delete(row.path)
    return len(rows), sum(row.bytes for row in rows)


def _events(database: Database, which: ColumnElement[bool], before: datetime, dry_run: bool) -> int:
    old = select(SearchJob.id).where(_over(before))
    if dry_run:
        with database.read() as session:
            there = select(func.count()).select_from(JobEvent).where(which, JobEvent.job_id.in_(old))
            return session.scalar(there) or 0
    has_some = select(JobEvent.job_id).where(which, JobEvent.job_id == SearchJob.id).exists()
    count, behind = 0, ""
    while True:
        with database.read() as session:
            more = old.where(SearchJob.id > behind, has_some).order_by(SearchJob.id).limit(_JOBS_A_ROUND)
            job_ids = list(session.scalars(more))
        if not job_ids:
            return count
        behind = job_ids[-1]
        some = select(JobEvent.job_id, JobEvent.id).where(which, JobEvent.job_id.in_(job_ids)).limit(_ROWS_A_ROUND)
        count += _gone(database, JobEvent, tuple_(JobEvent.job_id, JobEvent.id).in_(some))


def _gone(database: Database, model: type[Base], some: ColumnElement[bool]) -> int:
    """How many rows went, `some` after the other."""
    count = 0
    while True:
        with database.write() as session:
            result = session.execute(delete(model).where(some), execution_options={"synchronize_session": False})
            assert isinstance(result, CursorResult)
            if not result.rowcount:
                return count
            count += result.rowcount


def _deliveries(database: Database, before: datetime, dry_run: bool) -> int:
    """Messages to webhooks that are at their end."""
    old = (WebhookDelivery.state != PENDING) & (WebhookDelivery.ended_at < before)
    if dry_run:
        with database.read() as session:
            return session.scalar(select(func.count()).select_from(WebhookDelivery).where(old)) or 0
    some = select(WebhookDelivery.id).where(old).limit(_ROWS_A_ROUND)
    return _gone(database, WebhookDelivery, WebhookDelivery.id.in_(some))


def _orphans(database: Database, store: ArtifactStore, before: datetime, dry_run: bool) -> list[int]:
    """Bytes of each. The files are listed before the rows are read: one that got its row meanwhile is named."""
    listed = list(store.found(half_written=True))
    with database.read() as session:
        orphans = [file for file in _unnamed(session, listed) if file.written_at < before]
    if not dry_run:
        for file in orphans:
            store.delete(file.path)
    return [file.bytes for file in orphans]


def _unnamed(session: Session, files: Iterable[Found]) -> Iterator[Found]:
    """Those that jobs of this database and uploads left, by their paths: whatever else lies in the store stays. No job
    is ever deleted, so where there are files of unknown ones the data sets may be another database's too.
    """
    named = {*session.scalars(select(Artifact.path)), *session.scalars(select(Checkpoint.path))}
    jobs = {job.id: job for job in session.execute(select(SearchJob.id, SearchJob.state, SearchJob.attempt))}
    data, foreign = [], 0
    for file in files:
        if file.path in named:
            continue
        if _OF_DATA.fullmatch(file.path):
            data.append(file)
        elif of_job := _OF_JOB.fullmatch(file.path):
            job = jobs.get(of_job["job"])
            if job is None:
                foreign += 1
            elif (job.state, str(job.attempt)) != (RUNNING, of_job["attempt"]):
                yield file
    if not foreign:
        yield from data
        return
    _logger.warning(
        "the store has %d files of jobs that this database does not know: they stay, and all data sets with them. "
        "A store belongs to one service; where the database is an old copy of its own, remove them by hand", foreign,
    )  # fmt: skip
