"""The artifact store: a folder that API and workers share, or a bucket.

A name never shows half a file. A file is real only once a row names it: an attempt that lost its lease leaves files
that nobody sees, in a folder of its own.

Errors:
    StoreError (Exception)    a path outside the store, a file that is not there
    └── StoreAway             the store does not answer, or refuses: nothing is known of the file
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from api.artifacts.files import CHUNK_BYTES, Files, Found, StoreAway, StoreError
from api.artifacts.folder import FolderFiles
from api.artifacts.place import place_of
from api.telemetry.metrics import ARTIFACT_BYTES

__all__ = ["ArtifactStore", "Found", "StoreAway", "StoreError", "StoredFile", "attempt_path"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A whole file in the store. `path_in_store` has forward slashes; `sha256` is hex."""

    name: str
    path_in_store: str
    bytes: int
    sha256: str
    media_type: str


def attempt_path(job_id: str, attempt: int, name: str) -> str:
    """Where the file `name` of an attempt goes."""
    return f"jobs/{job_id}/{attempt}/{name}"


class ArtifactStore:
    """Files at `place`, a folder or the URL of a bucket (`api.artifacts.place`). Raises ValueError, StoreError."""

    def __init__(self, place: Path | str) -> None:
        self._files = _files_at(place)

    def prepare(self, *, is_new: bool = True) -> None:
        """Makes what has to be there before the first file. Raises StoreAway where it is not there though the store is
        not `is_new`.
        """
        self._files.prepare(is_new=is_new)

    def put(
        self, path_in_store: str, source: bytes | BinaryIO | Path, *, media_type: str, name: str | None = None
    ) -> StoredFile:
        """Keeps `source` under `path_in_store`, replacing what is there.

        `name` is by default the last part of the path.
        """
        path, digest, size = _checked(path_in_store), hashlib.sha256(), 0

        def summed() -> Iterator[bytes]:
            nonlocal size
            for chunk in _chunks(source):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        self._files.write(path, summed())
        ARTIFACT_BYTES.labels(direction="written").inc(size)
        return StoredFile(name or path.rpartition("/")[2], path, size, digest.hexdigest(), media_type)

    def open(self, path_in_store: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end` in pieces. Raises StoreError, at once where the file is gone."""
        return _counted(self._files.read(_checked(path_in_store), start, end))

    def read(self, path_in_store: str) -> bytes:
        """The whole content; raises StoreError."""
        return b"".join(self.open(path_in_store))

    def local(self, path_in_store: str) -> AbstractContextManager[Path]:
        """The file on this machine's disk, only to be read and only inside; raises StoreError."""
        return self._files.local(_checked(path_in_store))

    def delete(self, path_in_store: str) -> None:
        """Removes a file. One that is gone already is no error."""
        self._files.delete(_checked(path_in_store))

    def discard(self, path_in_store: str) -> None:
        """Removes a file that no row names. What was written to the database holds: where this fails it is logged, and
        the file is collected later.
        """
        try:
            self.delete(path_in_store)
        except (StoreError, OSError):
            _logger.warning("%s stays until files that no row names are collected", path_in_store, exc_info=True)

    def found(self, prefix: str = "", *, half_written: bool = False) -> Iterator[Found]:
        """All whole files under the folder `prefix`, whether or not a row names them, in no order; with those too that
        somebody began to write, and may have been killed at.
        """
        return self._files.found(_checked(prefix) if prefix else "", half_written=half_written)

    def fault(self) -> str | None:
        """Why nothing can be kept here at this moment; None where it can."""
        return self._files.fault()


def _files_at(place: Path | str) -> Files:
    found = place_of(place)
    if isinstance(found, Path):
        return FolderFiles(found)
    try:
        from api.artifacts.bucket import BucketFiles
    except ModuleNotFoundError as error:
        raise StoreError("artifacts in a bucket need one more package: pip install 'lutnas[s3]'") from error
    return BucketFiles(found)


def _checked(path: str) -> str:
    """The path in its plain form; raises StoreError for one that leads out of the store."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in path:
        raise StoreError(f"{path!r} is no path in the store")
    return "/".join(parts)


def _chunks(source: bytes | BinaryIO | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from _chunks(file)
        return
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        ARTIFACT_BYTES.labels(direction="read").inc(len(piece))
        yield piece
