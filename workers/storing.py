"""Files into a store that may be full or away for a while: no reason to lose a search that took hours.

Errors:
    StoreFull (Exception)   the store took a file neither at once nor within the time it was given
    StoreAway (StoreError)  the same of one that does not answer, see api.artifacts.store
"""

import errno
import logging
import time
from collections.abc import Callable
from pathlib import Path

from api.artifacts.store import ArtifactStore, StoreAway, StoredFile

PAUSE_SECONDS = 2.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_logger = logging.getLogger(__name__)


class StoreFull(Exception):
    """The store took a file neither at once nor within the time it was given."""


def put(
    store: ArtifactStore, path_in_store: str, file: Path, *, media_type: str, patience_seconds: float,
    listen: Callable[[], None], clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> StoredFile:  # fmt: skip
    """Keeps `file`; where there is no room or no answer, again and again for `patience_seconds`. Raises StoreFull,
    StoreAway, and what `listen` raises between two tries: who waits can be told to end.
    """
    deadline = clock() + patience_seconds
    while True:
        try:
            return store.put(path_in_store, file, media_type=media_type)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if clock() >= deadline:
                raise StoreFull(f"{path_in_store}: {error.strerror}: make room in the store of artifacts") from error
            why = "no room"
        except StoreAway as error:
            if clock() >= deadline:
                raise
            why = str(error)
        listen()
        _logger.warning("%s was not kept, trying again in %g s: %s", path_in_store, PAUSE_SECONDS, why)
        sleep(PAUSE_SECONDS)
