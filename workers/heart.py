"""The heart of a worker at work: keeps its lease from a thread of its own, and hears what it is to do."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from contextvars import copy_context
from types import TracebackType
from typing import Self

from sqlalchemy.orm import Session

from api.db.session import Database
from api.jobs import compared
from api.jobs.compared import NetworkLease
from api.jobs.lease import Lease, LeaseLost, Order, heartbeat, keep_log
from workers.log import AttemptLog

BEATS_PER_LEASE = 4
MOST_SECONDS = 1.0  # between two beats: a cancel or a pause should not wait for the lease
LOG_SECONDS = 5.0  # between two writes of the log: it is written whole
_logger = logging.getLogger(__name__)


class Heart(ABC):
    """Beats while it is entered. `order` is the newest answer; a database that does not answer leaves it as it was."""

    def __init__(self, database: Database, job_id: str, *, lease_seconds: float) -> None:
        self.order = Order.CONTINUE
        self._database, self._job_id, self._lease_seconds = database, job_id, lease_seconds
        self._pause_seconds = min(MOST_SECONDS, lease_seconds / BEATS_PER_LEASE)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._beat_on,), name=f"heart of {job_id}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @abstractmethod
    def _beat(self, session: Session) -> Order:
        """One beat, in a unit of work. Raises LeaseLost."""

    def _beat_on(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            try:
                with self._database.write() as session:
                    order = self._beat(session)
                self.order = order
            except LeaseLost:
                self.order = Order.LOST
            except Exception:  # the database does not answer, say, or memory is short: the next beat may succeed
                _logger.warning("no heartbeat for %s", self._job_id, exc_info=True)
            if self.order is Order.LOST:
                return


class AttemptHeart(Heart):
    """Of an attempt: keeps its log too, and hears what the job's user wants."""

    def __init__(self, database: Database, lease: Lease, log: AttemptLog, *, lease_seconds: float) -> None:
        super().__init__(database, lease.job_id, lease_seconds=lease_seconds)
        self._lease = lease
        self._log, self._kept_version, self._kept_at = log, 0, time.monotonic()

    def _beat(self, session: Session) -> Order:
        """What a lost or failed beat did not keep of the log comes with the next."""
        order = heartbeat(session, self._lease, self._lease_seconds)
        version, now = self._log.version, time.monotonic()
        if order is not Order.LOST and version != self._kept_version and now - self._kept_at >= LOG_SECONDS:
            keep_log(session, self._lease, self._log.text())
            self._kept_version, self._kept_at = version, now
        return order


class NetworkHeart(Heart):
    """Of a worker that trains a network of another's comparison: tells the steps done, which who trains sets."""

    def __init__(self, database: Database, lease: NetworkLease, *, lease_seconds: float) -> None:
        super().__init__(database, lease.job_id, lease_seconds=lease_seconds)
        self._lease, self.step = lease, 0

    def _beat(self, session: Session) -> Order:
        holds = compared.heartbeat(session, self._lease, step=self.step, lease_seconds=self._lease_seconds)
        return Order.CONTINUE if holds else Order.LOST
