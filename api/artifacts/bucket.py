"""Artifacts in a bucket of an S3-compatible service. `obstore` signs, retries and sends in parts.

An object shows only once all its parts are there. Parts of an upload that was broken off stay hidden until the bucket's
own rule about them (AbortIncompleteMultipartUpload) removes them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from api.artifacts.files import CHUNK_BYTES, Found, StoreAway, StoreError
from api.artifacts.place import Bucket

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig, S3Config

# Who writes to a bucket that says nothing gives it up within a minute or so: it hears nothing else meanwhile, and may
# be told to stop. Who reads has more time, in which what broke off is gone on with.
SILENT_SECONDS = 30.0  # that one request may wait for the next bytes, or for its answer
WRITE_SECONDS, READ_SECONDS = 40.0, 180.0  # after which a request is not repeated
LONGEST_SECONDS = 3600.0  # of one request, as long as bytes come
LOOK_SECONDS = 5.0  # for a probe


class BucketFiles:
    """Objects of `bucket`. Nothing is asked before the first use."""

    def __init__(self, bucket: Bucket) -> None:
        self._shown = f"s3://{bucket.name}/{bucket.prefix}"
        # Each part goes with its checksum, so that the service refuses one that was damaged on the way.
        config: S3Config = {"checksum_algorithm": "SHA256"}
        if bucket.endpoint_url is not None:
            config["endpoint"] = bucket.endpoint_url
        if bucket.region is not None:
            config["region"] = bucket.region
        plain = (bucket.endpoint_url or "").startswith("http://")
        make = partial(S3Store, bucket.name, prefix=bucket.prefix or None, config=config)
        patient: ClientConfig = {
            "allow_http": plain, "timeout": timedelta(seconds=LONGEST_SECONDS),
            "read_timeout": timedelta(seconds=SILENT_SECONDS),
        }  # fmt: skip
        self._store = make(client_options=patient, retry_config={"retry_timeout": timedelta(seconds=WRITE_SECONDS)})
        self._reading = make(client_options=patient, retry_config={"retry_timeout": timedelta(seconds=READ_SECONDS)})
        self._looking = make(
            client_options={"allow_http": plain, "timeout": timedelta(seconds=LOOK_SECONDS)},
            retry_config={"max_retries": 0},
        )

    def prepare(self, *, is_new: bool) -> None:
        """A bucket is made by whoever pays for it."""

    def write(self, path: str, chunks: Iterator[bytes]) -> None:
        try:
            obstore.put(self._store, path, chunks)
        except BaseError as error:
            raise self._unusable(error) from error

    def read(self, path: str, start: int, end: int | None) -> Iterator[bytes]:
        if end is not None and end <= start:
            return iter(())
        asked: GetOptions = {}  # an empty object has no range to ask for
        if (start, end) != (0, None):
            asked = {"range": {"offset": start} if end is None else (start, end)}
        try:
            found = obstore.get(self._reading, path, options=asked)
        except FileNotFoundError as error:
            raise self._gone(path) from error
        except BaseError as error:
            raise self._unusable(error) from error
        return self._pieces(found)

    def _pieces(self, found: "GetResult") -> Iterator[bytes]:
        try:
            for piece in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(piece)
        except BaseError as error:  # it went away in the middle
            raise self._unusable(error) from error

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="lutnas-", suffix=Path(path).suffix) as file:
            for piece in self.read(path, 0, None):
                file.write(piece)
            file.flush()
            yield Path(file.name)

    def delete(self, path: str) -> None:
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise self._unusable(error) from error

    def found(self, prefix: str, *, half_written: bool) -> Iterator[Found]:
        try:
            for page in obstore.list(self._store, prefix or None):
                for one in page:
                    yield Found(one["path"], one["size"], one["last_modified"])
        except BaseError as error:
            raise self._unusable(error) from error

    def fault(self) -> str | None:
        try:
            next(iter(obstore.list(self._looking, "jobs", chunk_size=1)), None)
        except BaseError as error:
            return str(self._unusable(error))
        return None

    def _gone(self, path: str) -> StoreError:
        return StoreError(f"{self._shown}/{path} is gone: somebody changed the bucket, or API and worker share none")

    def _unusable(self, error: Exception) -> StoreAway:
        """The first line says it: the others are the library's own state."""
        return StoreAway(f"{self._shown} cannot be used: {str(error).strip().splitlines()[0]}")
