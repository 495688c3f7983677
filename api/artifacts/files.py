"""What a place for files can do; `folder` and `bucket` do it.

Errors:
    StoreError (Exception)    a path outside the store, a file that is not there
    └── StoreAway             the store does not answer, or refuses: nothing is known of the file
"""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # a place without room, by its OSError


class StoreError(Exception):
    """A path outside the store, a file that is not there, or a store that does not answer."""


class StoreAway(StoreError):
    """The store does not answer, or refuses: nothing is known of the file, and later it may be otherwise."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there, whether or not a row names it. `written_at` is the place's own clock."""

    path: str
    bytes: int
    written_at: datetime


class Files(Protocol):
    """Files by path, with forward slashes and relative. Each is whole or not there."""

    def prepare(self, *, is_new: bool) -> None:
        """Makes what has to be there before the first file. Raises StoreAway where it is not there and not `is_new`."""

    def write(self, path: str, chunks: Iterator[bytes]) -> None:
        """Keeps what `chunks` gives, in the place of what is there; an error of theirs leaves all as it was."""

    def read(self, path: str, start: int, end: int | None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces. Raises StoreError at once where the file is gone."""

    def local(self, path: str) -> AbstractContextManager[Path]:
        """The file on this machine's disk, only to be read and only inside. Raises StoreError."""

    def delete(self, path: str) -> None:
        """Removes a file. One that is gone already is no error."""

    def found(self, prefix: str, *, half_written: bool) -> Iterator[Found]:
        """All whole files under the folder `prefix`, "" for all, in no order; with those too that somebody began."""

    def fault(self) -> str | None:
        """Why nothing can be kept here at this moment; None where it can."""
