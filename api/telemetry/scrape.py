"""What Prometheus is told at a scrape: the counts of this process, and what the database knows at this moment."""

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.db.session import Database, at, db_now
from api.jobs.models import QUEUED, STATES, JobEvent, SearchJob
from api.jobs.tailer import Tailer
from api.requests.models import STATES as REQUEST_STATES
from api.requests.models import DeviceRequest


class Scrape:
    """One look, in the form that `prometheus_client` writes down.

    A database that does not answer is `lutnas_database_up 0`, and what only it knows is missing.
    """

    def __init__(self, database: Database, tailer: Tailer) -> None:
        self._database, self._tailer = database, tailer

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from REGISTRY.collect()
        yield _gauge("lutnas_event_streams", "Readers of streams of events.", self._tailer.readers)
        try:
            with self._database.read() as session:
                known = [*_of_database(session)]
        except SQLAlchemyError:
            known = []
        yield from known
        yield _gauge("lutnas_database_up", "Whether the database answered this scrape.", 1 if known else 0)


def _of_database(session: Session) -> Iterator[Metric]:
    """Counts that an index answers."""
    for name, about, row, states in (
        ("lutnas_jobs", "Search jobs.", SearchJob, STATES),
        ("lutnas_device_requests", "Requests to devices.", DeviceRequest, REQUEST_STATES),
    ):
        rows = session.execute(select(row.state, func.count()).group_by(row.state))
        counted: dict[str, int] = {state: number for state, number in rows}  # noqa: C416 - dict() knows no Row
        yield _by_state(name, about, states, counted)
    yield _gauge("lutnas_queue_age_seconds", "How long the oldest queued job has waited; 0 without one.", _age(session))


def _age(session: Session) -> float:
    """Since the job was last queued, not since it was made: that is the newest event of one that waits."""
    newest = (JobEvent.job_id == SearchJob.id) & (JobEvent.id == SearchJob.last_event_id)
    oldest = session.scalar(select(func.min(JobEvent.at)).join(SearchJob, newest).where(SearchJob.state == QUEUED))
    return 0.0 if oldest is None else max(0.0, (at(db_now(session)) - oldest).total_seconds())


def _by_state(name: str, about: str, states: tuple[str, ...], counted: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["state"])
    for state in states:
        family.add_metric([state], counted.get(state, 0))
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
