"""Zips as people upload them."""

import zipfile
from typing import BinaryIO, cast

from api.datasets.raw import DatasetRefused

_MAX_READ = 64 << 20  # the directory of 500,000 pictures has that, and zipfile makes ten times as much of it


def open_zip(body: BinaryIO) -> zipfile.ZipFile:
    """The archive. Raises DatasetRefused where its directory is longer than one of pictures, before it is read, and
    what zipfile raises.
    """
    return zipfile.ZipFile(cast(BinaryIO, _Guarded(body)))


class _Guarded:
    """A file of which nobody reads very much at once."""

    def __init__(self, body: BinaryIO) -> None:
        self._body = body
        self.seek, self.tell, self.seekable = body.seek, body.tell, body.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_READ:
            raise DatasetRefused("file", f"has a directory of {size} bytes, an archive of pictures {_MAX_READ} at most")
        return self._body.read(size)
