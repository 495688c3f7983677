"""The thread that sweeps: one in each API process, of which one at a time is elected."""

import logging
import secrets
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from api.db.session import Database
from api.jobs.sweep import is_elected, resign, sweep
from api.settings import Settings

_logger = logging.getLogger(__name__)


class Sweeper:
    """Sweeps every `sweep_seconds` while its process is elected; `ring` is called for each job after the commit."""

    def __init__(self, database: Database, settings: Settings, ring: Callable[[str], None]) -> None:
        self._database = database
        self._settings = settings
        self._ring = ring
        self._holder = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begins to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the round that runs, and lets another process sweep."""
        self._stopping.set()
        self._thread.join()
        try:
            with self._database.write() as session:
                resign(session, self._holder)
        except SQLAlchemyError:
            _logger.warning("the sweeper could not resign: another takes over when its lease runs out", exc_info=True)

    def round(self) -> list[str]:
        """One look at the jobs, if this process is elected. Gives the jobs that were rung for."""
        settings = self._settings
        with self._database.write() as session:
            if not is_elected(session, self._holder, seconds=3 * settings.sweep_seconds):
                return []
            due = sweep(session, requeue_seconds=settings.requeue_seconds)
        for job_id in due:
            self._ring(job_id)
        return due

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.sweep_seconds):
            try:
                self.round()
            except SQLAlchemyError:  # a database that restarts must not end the sweeping
                _logger.warning("a sweep failed and is tried again", exc_info=True)
