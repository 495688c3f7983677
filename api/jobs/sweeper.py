"""The thread that sweeps, and now and then collects: one in each API process, of which one at a time is elected."""

import logging
import secrets
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.retention import collect
from api.jobs.sweep import held_back, is_elected, resign, ring_now, sweep
from api.settings import Settings

PATIENCE_SECONDS = 5.0  # of a process that ends, with what is being collected
_logger = logging.getLogger(__name__)


class Sweeper:
    """Sweeps every `sweep_seconds` while its process is elected; `ring` is called for each job after the commit, until
    it tells that it could not. The back-off holds while rings wait to be heard. Where the broker `is_silent` they were
    lost: then each job that waits is rung for again `requeue_seconds` after its last ring. Every `collect_seconds` it
    also removes what has been kept long enough, in a thread of its own: a store that says nothing takes minutes.
    """

    def __init__(
        self, database: Database, settings: Settings, ring: Callable[[str], bool], *, is_silent: Callable[[], bool]
    ) -> None:
        self._database = database
        self._settings = settings
        self._ring, self._is_silent = ring, is_silent
        self._store = ArtifactStore(settings.artifacts)
        self._collected_at = time.monotonic()
        self._collecting: threading.Thread | None = None
        self._holder = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begins to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the round that runs, and lets another process sweep. What is collected later goes another time."""
        self._stopping.set()
        self._thread.join()
        self.wait_for_collecting(PATIENCE_SECONDS)
        try:
            with self._database.write() as session:
                resign(session, self._holder)
        except SQLAlchemyError:
            _logger.warning("the sweeper could not resign: another takes over when its lease runs out", exc_info=True)

    def round(self) -> list[str]:
        """One look at the jobs, if this process is elected. Gives the jobs to ring for."""
        settings = self._settings
        with self._database.write() as session:
            if not is_elected(session, self._holder, seconds=3 * settings.sweep_seconds):
                return []
            late = held_back(session, requeue_seconds=settings.requeue_seconds)
        is_silent = bool(late) and self._is_silent()  # asked of the broker while no transaction is open
        with self._database.write() as session:
            if is_silent:
                ring_now(session, late)
            due = sweep(session, requeue_seconds=settings.requeue_seconds, max_attempts=settings.max_attempts)
        for job_id in due:
            if self._stopping.is_set() or not self._ring(job_id):
                break  # a broker that says nothing takes seconds each time; the others are due again later
        is_collecting = self._collecting is not None and self._collecting.is_alive()
        if not is_collecting and time.monotonic() - self._collected_at >= settings.collect_seconds:
            self._collected_at = time.monotonic()
            self._collecting = threading.Thread(target=self._collect, name="collector", daemon=True)
            self._collecting.start()
        return due

    def wait_for_collecting(self, seconds: float) -> None:
        """Until what is being collected is, or so long."""
        if self._collecting is not None:
            self._collecting.join(seconds)

    def _collect(self) -> None:
        try:
            collect(self._database, self._store, self._settings)
        except Exception:  # a database or store that is away, say: files wait for the next time
            seconds = self._settings.collect_seconds
            _logger.warning("collecting failed, and is tried again in %g s", seconds, exc_info=True)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.sweep_seconds):
            try:
                self.round()
            except Exception:  # nobody else frees lost jobs: whatever it is must not end it
                _logger.warning("a sweep failed and is tried again", exc_info=True)
