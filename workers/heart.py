"""The heart of a running attempt: keeps its lease and its log from a thread of its own, and hears what the job's user
wants.
"""

import logging
import threading
import time
from contextvars import copy_context
from types import TracebackType

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api.db.session import Database
from api.jobs.lease import Lease, LeaseLost, Order, heartbeat, keep_log
from workers.log import AttemptLog

BEATS_PER_LEASE = 4
MOST_SECONDS = 1.0  # between two beats: a cancel or a pause should not wait for the lease
LOG_SECONDS = 5.0  # between two writes of the log: it is written whole
_logger = logging.getLogger(__name__)


class Heart:
    """Beats while it is entered. `order` is the newest answer; a database that does not answer leaves it as it was."""

    def __init__(self, database: Database, lease: Lease, log: AttemptLog, *, lease_seconds: float) -> None:
        self.order = Order.CONTINUE
        self._database, self._lease, self._lease_seconds = database, lease, lease_seconds
        self._log, self._kept_version, self._kept_at = log, 0, time.monotonic()
        self._pause_seconds = min(MOST_SECONDS, lease_seconds / BEATS_PER_LEASE)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._beat_on,), name=f"heart of {lease.job_id}", daemon=True
        )

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat_on(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            try:
                with self._database.write() as session:
                    self.order = heartbeat(session, self._lease, self._lease_seconds)
                    self._keep_log(session)
            except LeaseLost:
                self.order = Order.LOST
            except OperationalError:
                _logger.warning("no heartbeat for %s: the database does not answer", self._lease.job_id, exc_info=True)
            if self.order is Order.LOST:
                return

    def _keep_log(self, session: Session) -> None:
        """In the heartbeat's unit of work; what a lost or failed one did not keep comes with the next."""
        version, now = self._log.version, time.monotonic()
        if self.order is not Order.LOST and version != self._kept_version and now - self._kept_at >= LOG_SECONDS:
            keep_log(session, self._lease, self._log.text())
            self._kept_version, self._kept_at = version, now
