"""Attempts of a job that a test works at itself, with a clock of its own."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.lease import claim
from api.settings import Settings
from workers.heart import AttemptHeart
from workers.log import AttemptLog
from workers.runner import Attempt

SMALL: dict[str, Any] = {
    "search": {"epochs": 1, "warmup_epochs": 0, "batch_size": 256, "evidence_samples": 8}, "finalists": 1,
    "finish": {"epochs": 1, "batch_size": 256},
}  # fmt: skip


def never() -> bool:
    return False


class Clock:
    """Seconds that go by only while somebody sleeps; `meanwhile` happens then."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now, self.meanwhile = 0.0, meanwhile

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@contextmanager
def attempt_of(
    database: Database, settings: Settings, job: str, clock: Clock, drain: Callable[[], bool] = never,
    store: ArtifactStore | None = None,
) -> Iterator[Attempt]:  # fmt: skip
    """A claimed job. Its heart beats within minutes, so what a test wants heard it says to it."""
    with database.write() as session:
        lease = claim(session, job, worker="w", lease_seconds=3600)
    assert lease is not None
    store = store or ArtifactStore(settings.artifacts)
    with AttemptLog(1000) as log, AttemptHeart(database, lease, log, lease_seconds=3600) as heart:
        yield Attempt(lease, settings, database, store, heart, log, drain=drain, clock=clock, sleep=clock.sleep)


def attempted(
    database: Database, settings: Settings, job: str, clock: Clock, drain: Callable[[], bool] = never,
    store: ArtifactStore | None = None,
) -> None:  # fmt: skip
    """One attempt of the job, to its end."""
    with attempt_of(database, settings, job, clock, drain, store) as attempt:
        attempt.run()


@contextmanager
def small_disk(folder: Path, *, files: int = 1000) -> Iterator[Callable[[], None]]:
    """A disk of 32 KiB at `folder` that holds so many files, itself among them; what it gives makes room. Skips where
    nothing can be mounted.
    """
    mount = ["mount", "-t", "tmpfs", "-o"]
    try:
        subprocess.run([*mount, f"size=32k,nr_inodes={files}", "tmpfs", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs leave to mount")

    def more_room() -> None:
        subprocess.run([*mount, "remount,size=1g,nr_inodes=100000", "tmpfs", str(folder)], check=True)

    try:
        yield more_room
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
