"""The artifact store: a folder that API and workers share.

A file is written to the side, synced, summed and renamed, so that a name never shows half a file. It is real only
once a row names it: an attempt that lost its lease leaves files that nobody sees, in a folder of its own.

Errors:
    StoreError (Exception)   a path outside the store, or a file that is not there
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_CHUNK = 1 << 20


class StoreError(Exception):
    """A path outside the store, or a file that is not there."""


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
    """Files under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(
        self, path_in_store: str, source: bytes | BinaryIO | Path, *, media_type: str, name: str | None = None
    ) -> StoredFile:
        """Keeps `source` under `path_in_store`, replacing what is there.

        `name` is by default the last part of the path.
        """
        target = self.path(path_in_store)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        digest, size = hashlib.sha256(), 0
        try:
            with beside.open("xb") as file:
                for chunk in _chunks(source):
                    digest.update(chunk)
                    size += file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return StoredFile(name or target.name, path_in_store, size, digest.hexdigest(), media_type)

    def path(self, path_in_store: str) -> Path:
        """Where a file is, there or not; raises StoreError for a path that leads out of the store."""
        parts = PurePosixPath(path_in_store).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in path_in_store:
            raise StoreError(f"{path_in_store!r} is no path in the store")
        return self.folder.joinpath(*parts)

    def existing(self, path_in_store: str) -> Path:
        """Where a file is; raises StoreError if it is gone."""
        path = self.path(path_in_store)
        if not path.is_file():
            raise StoreError(f"{path} is gone: the folder of artifacts was changed, or API and worker do not share it")
        return path

    def read(self, path_in_store: str) -> bytes:
        """The whole content; raises StoreError."""
        return self.existing(path_in_store).read_bytes()

    def delete(self, path_in_store: str) -> None:
        """Removes a file, and folders that it leaves empty. One that is gone already is no error."""
        path = self.path(path_in_store)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            for folder in path.parents:
                if folder == self.folder:
                    break
                folder.rmdir()


def _chunks(source: bytes | BinaryIO | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from _chunks(file)
        return
    while chunk := source.read(_CHUNK):
        yield chunk


def _sync_folder(folder: Path) -> None:
    """Makes the rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
