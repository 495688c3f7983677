"""A store that is full or away: results wait for it, and whoever has no patience is told what to do."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from safetensors import SafetensorError

from api.artifacts.store import ArtifactStore, StoreAway, StoredFile
from search import state
from tests.workers.attempting import small_disk
from workers.failures import problem_of
from workers.storing import StoreFull, is_full, put


class FullFor(ArtifactStore):
    """A store whose disk is full at the first `times` tries."""

    def __init__(self, folder: Path, times: int, code: int = errno.ENOSPC) -> None:
        super().__init__(folder)
        self.times, self.code = times, code

    def put(
        self, path_in_store: str, source: bytes | BinaryIO | Path, *, media_type: str, name: str | None = None
    ) -> StoredFile:
        self.times -= 1
        if self.times >= 0:
            raise OSError(self.code, "No space left on device")
        return super().put(path_in_store, source, media_type=media_type, name=name)


class AwayFor(ArtifactStore):
    """A store that does not answer the first `times` that something is put there, nor `loads` times where something is
    loaded, and that never removes anything.
    """

    def __init__(self, place: Path | str, times: int = 0, loads: int = 0) -> None:
        super().__init__(place)
        self.times, self.loads = times, loads

    def put(
        self, path_in_store: str, source: bytes | BinaryIO | Path, *, media_type: str, name: str | None = None
    ) -> StoredFile:
        self.times -= 1
        if self.times >= 0:
            raise StoreAway("s3://b/p cannot be used: no route to host")
        return super().put(path_in_store, source, media_type=media_type, name=name)

    def local(self, path_in_store: str) -> AbstractContextManager[Path]:
        self.loads -= 1
        if self.loads >= 0:
            raise StoreAway("s3://b/p cannot be used: no route to host")
        return super().local(path_in_store)

    def delete(self, path_in_store: str) -> None:
        raise StoreAway("s3://b/p cannot be used: no route to host")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    return path


class Told(Exception):
    """Whoever waits is told to end."""


def kept(
    store: ArtifactStore, file: Path, patience: float, listen: Callable[[], None] = lambda: None
) -> tuple[StoredFile, list[float]]:
    slept: list[float] = []
    found = put(
        store, "jobs/j/1/weights", file, media_type="x/y", patience_seconds=patience, listen=listen,
        clock=lambda: sum(slept), sleep=slept.append,
    )  # fmt: skip
    return found, slept


def test_a_disk_without_room_is_told_apart_whoever_writes(tmp_path: Path) -> None:
    assert is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not is_full(OSError(errno.EIO, "Input/output error"))
    with small_disk(tmp_path):
        with pytest.raises(SafetensorError) as caught:
            state.save({"weights": torch.zeros(2**20)}, tmp_path / "state")
        assert is_full(caught.value)
    with pytest.raises(SafetensorError) as caught:
        state.save({"weights": torch.zeros(1)}, tmp_path / "none" / "state")
    assert not is_full(caught.value)


def test_a_result_waits_until_there_is_room(tmp_path: Path, file: Path) -> None:
    store = FullFor(tmp_path, 3)
    found, slept = kept(store, file, 600.0)
    assert (store.read(found.path_in_store), slept) == (b"weights", [2.0] * 3)


def test_a_result_waits_until_the_store_answers(tmp_path: Path, file: Path) -> None:
    store = AwayFor(tmp_path, 3)
    found, slept = kept(store, file, 600.0)
    assert (store.read(found.path_in_store), slept) == (b"weights", [2.0] * 3)


def test_a_store_that_stays_away_is_told_as_away(tmp_path: Path, file: Path) -> None:
    with pytest.raises(StoreAway, match="no route to host") as caught:
        kept(AwayFor(tmp_path, 9), file, 6.0)
    assert problem_of(caught.value)["type"] == "urn:lutnas:problem:store-away"


def test_without_patience_a_full_store_is_named_at_once(tmp_path: Path, file: Path) -> None:
    with pytest.raises(StoreFull, match="jobs/j/1/weights: No space left on device: make room"):
        kept(FullFor(tmp_path, 1), file, 0.0)


def test_other_failures_of_the_disk_are_not_waited_for(tmp_path: Path, file: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught:
        kept(FullFor(tmp_path, 1, errno.EIO), file, 600.0)
    assert caught.value.errno == errno.EIO


def test_who_waits_for_room_hears_that_the_job_is_cancelled(tmp_path: Path, file: Path) -> None:
    def cancelled() -> None:
        raise Told

    with pytest.raises(Told):
        kept(FullFor(tmp_path, 9), file, 600.0, cancelled)
