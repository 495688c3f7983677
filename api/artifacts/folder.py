"""Artifacts in a folder that API and workers share.

A file is written to the side, synced and renamed, so that a name never shows half a file.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from api.artifacts.files import CHUNK_BYTES, FULL, Found, StoreAway, StoreError

_BESIDE = re.compile(r"\..+\.[0-9a-f]{16}")


class FolderFiles:
    """Files under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, *, is_new: bool) -> None:
        if not is_new:
            self._check_is_there()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, path: str, chunks: Iterator[bytes]) -> None:
        target = self.folder / path
        beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            self._check_is_there()
            with self._reached():
                file = _made(beside)
            with file:
                for chunk in chunks:  # its errors are not the folder's
                    with self._reached():
                        _write_all(file, chunk)
                with self._reached():
                    os.fsync(file.fileno())
            with self._reached():
                beside.replace(target)
                _sync_folder(target.parent)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def read(self, path: str, start: int, end: int | None) -> Iterator[bytes]:
        return self._pieces(self._existing(path), start, end)

    def _pieces(self, path: Path, start: int, end: int | None) -> Iterator[bytes]:
        with self._reached(), path.open("rb") as file:
            file.seek(start)
            left = None if end is None else end - start
            while piece := file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
                left = None if left is None else left - len(piece)
                yield piece

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        yield self._existing(path)

    def delete(self, path: str) -> None:
        """Also removes folders that it leaves empty."""
        target = self.folder / path
        with self._reached():
            target.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            for folder in target.parents:
                if folder == self.folder:
                    break
                folder.rmdir()

    def found(self, prefix: str, *, half_written: bool) -> Iterator[Found]:
        self._check_is_there()
        for folder, _, names in os.walk(self.folder / prefix, onerror=self._not_listed):
            for file in (Path(folder, name) for name in names if half_written or not _BESIDE.fullmatch(name)):
                with self._reached(), suppress(FileNotFoundError):  # deleted meanwhile
                    facts = file.stat()
                    written_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                    yield Found(file.relative_to(self.folder).as_posix(), facts.st_size, written_at)

    def _not_listed(self, error: OSError) -> None:
        """Folders that are gone meanwhile, or are none of ours, are passed over."""
        if not isinstance(error, FileNotFoundError | PermissionError):
            with self._reached():
                raise error

    def fault(self) -> str | None:
        is_usable = os.path.isdir(self.folder) and os.access(self.folder, os.W_OK)  # whatever a share tells
        return None if is_usable else f"{self.folder} cannot be written"

    def _check_is_there(self) -> None:
        """`prepare` alone makes the folder: below a mount point it is there where something is mounted."""
        with self._reached():
            if not self.folder.is_dir():
                raise StoreAway(f"{self.folder} is not there: is it mounted?")

    def _existing(self, path: str) -> Path:
        file = self.folder / path
        with self._reached():
            try:
                if stat.S_ISREG(file.stat().st_mode):
                    return file
            except (FileNotFoundError, NotADirectoryError):
                if not self.folder.is_dir() or not any(self.folder.iterdir()):
                    raise StoreAway(f"{self.folder} is empty, or not there: is it mounted?") from None
        raise StoreError(f"{file} is gone: the folder of artifacts was changed, or API and worker do not share it")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """A disk that fails, a share that is away, or one that may not be written says nothing of a file. One that is
        full does: who writes may wait for room.
        """
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise
            raise StoreAway(f"{self.folder} cannot be used: {error.strerror or error}") from error


def _made(file: Path) -> FileIO:
    """A new file, with its folder; one that was removed as empty in between is made once more. Without a buffer, which
    would fail once more where it is closed.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return file.open("xb", buffering=0)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return file.open("xb", buffering=0)


def _write_all(file: FileIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _sync_folder(folder: Path) -> None:
    """Makes the rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
