"""What an attempt leaves behind: events, checkpoints and files. The lease fences every write."""

import logging
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from api.artifacts.store import ArtifactStore, StoreAway, StoredFile, attempt_path
from api.db.session import Database
from api.jobs import lease as door
from api.jobs.lease import Lease, LeaseLost
from search import state
from workers import storing
from workers.ending import PausedByUser, Stopped
from workers.log import AttemptLog
from workers.report import MEDIA_TYPES, Run
from workers.storing import StoreFull

STORE_SECONDS = 600.0  # that results wait for room
_logger = logging.getLogger(__name__)


class Records:
    """Writes for one attempt. Writes to the database raise LeaseLost where that no longer has the job; what waits for a
    store that is full or away raises what `listen` raises, which is asked meanwhile. `clock` gives seconds.
    """

    def __init__(
        self, lease: Lease, database: Database, store: ArtifactStore, log: AttemptLog, *,
        listen: Callable[[], None], clock: Callable[[], float], sleep: Callable[[float], None],
    ) -> None:  # fmt: skip
        self.lease, self.database, self.store, self.log = lease, database, store, log
        self.listen, self.clock, self.sleep = listen, clock, sleep
        self.kept: float | None = None  # since when no checkpoint was kept; None before the first step

    def event(self, kind: str, step: int, data: dict[str, Any]) -> None:
        """Tells everybody who follows the job."""
        with self.database.write() as session:
            door.report(session, self.lease, kind=kind, step=step, data=data)

    def end(self, write: Callable[[Session], list[str]]) -> None:
        """Runs one fenced write, then removes the files that nothing names any more. The log is kept with it: after the
        last write of an attempt nothing is.
        """
        with self.database.write() as session:
            door.keep_log(session, self.lease, self.log.text())
            stale = write(session)
        for path in stale:
            self.store.discard(path)

    def give_back(self, stop: Stopped) -> None:
        """Releases the job in the state that it was stopped for, if the lease still holds."""
        _logger.info("%s: %s", self.lease.job_id, stop.reason)
        try:
            with self.database.write() as session:
                door.keep_log(session, self.lease, self.log.text())
                by_user = isinstance(stop, PausedByUser)
                door.release(session, self.lease, state=stop.becomes, reason=stop.reason, by_user=by_user)
        except LeaseLost:
            _logger.warning("%s: the lease was lost on the way out", self.lease.job_id)

    def keep(self, run: Run, step: int, here: dict[str, Any]) -> bool:
        """Whether there is a checkpoint of this step now."""
        stored = self.checkpoint(run, step, here)
        if stored is not None:
            self.end(lambda session: door.save_checkpoint(session, self.lease, step=step, artifact=stored))
        return stored is not None

    def checkpoint(self, run: Run, step: int, here: dict[str, Any]) -> StoredFile | None:
        """A file in the store, which no row names yet, under a new name, so that a crash between file and row leaves
        the last one whole. Where there is no room for it, here or in the store, or that is away, the last one stays
        too: a later one may be kept.
        """
        try:
            with self.with_room(tempfile.TemporaryDirectory[str], patience_seconds=0.0) as folder:
                file = Path(folder) / "checkpoint"
                kept = {"environment": here, "run": run.state_dict()}
                self.with_room(lambda: state.save(kept, file), patience_seconds=0.0)
                name = f"checkpoint-{secrets.token_hex(4)}.safetensors"
                return self.file(name, file, patience_seconds=0.0)
        except (StoreFull, StoreAway) as error:
            _logger.warning("%s: no checkpoint at step %d: %s", self.lease.job_id, step, error)
            return None
        finally:
            self.kept = self.clock()  # from its end on: one that takes long must not be followed by another at once

    def with_room(self, make: Callable[[], storing.Made], *, patience_seconds: float = STORE_SECONDS) -> storing.Made:
        """What `make` gives, which writes temporary files (`storing.with_room`)."""
        return storing.with_room(
            make, patience_seconds=patience_seconds, listen=self.listen, clock=self.clock, sleep=self.sleep
        )

    def file(self, name: str, file: Path, *, patience_seconds: float = STORE_SECONDS) -> StoredFile:
        """Keeps one in the store (`storing.put`), under the attempt's path."""
        path = attempt_path(self.lease.job_id, self.lease.attempt, name)
        media_type = MEDIA_TYPES[file.suffix or Path(name).suffix]
        return storing.put(
            self.store, path, file, media_type=media_type, patience_seconds=patience_seconds, listen=self.listen,
            clock=self.clock, sleep=self.sleep,
        )  # fmt: skip
