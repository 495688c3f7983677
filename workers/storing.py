"""Files onto a disk and into a store that may be full or away for a while: no reason to lose a search that took hours.

Errors:
    StoreFull (Exception)   the store, or the disk, took a file neither at once nor within the time it was given
    StoreAway (StoreError)  the same of one that does not answer, see api.artifacts.store
"""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from api.artifacts.files import FULL
from api.artifacts.store import ArtifactStore, StoreAway, StoredFile

PAUSE_SECONDS = 2.0
Made = TypeVar("Made")
_logger = logging.getLogger(__name__)


class StoreFull(Exception):
    """The store, or the disk, took a file neither at once nor within the time it was given."""


def is_full(error: Exception) -> bool:
    """Whether a file found no room. safetensors says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, SafetensorError) and any(f"(os error {code})" in str(error) for code in FULL)


def with_room(
    make: Callable[[], Made], *, patience_seconds: float, listen: Callable[[], None],
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Made:  # fmt: skip
    """What `make` gives, which writes temporary files; where there is no room, again and again as in `put`. Raises
    StoreFull, and what `listen` raises.
    """
    deadline = clock() + patience_seconds
    while True:
        try:
            return make()
        except (OSError, SafetensorError) as error:
            if not is_full(error):
                raise
            told = f"no room for temporary files in {tempfile.gettempdir()}"
            if clock() >= deadline:
                raise StoreFull(f"{told}: make some, or name another folder by TMPDIR") from error
        listen()
        _logger.warning("%s, trying again in %g s", told, PAUSE_SECONDS)
        sleep(PAUSE_SECONDS)


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
            if not is_full(error):
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
