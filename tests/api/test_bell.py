"""The bell and the sweeper: a ring that is lost is rung again, and none holds a request up."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from api.bell import QUEUE, TASK, Bell
from api.db.migrate import upgrade
from api.db.session import Database, db_now
from api.jobs.models import SearchJob
from api.jobs.sweeper import Sweeper
from api.settings import Settings
from tests.api.making import a_job, submit


def waiting(home: Path) -> list[dict[str, object]]:
    """Headers of the messages in the filesystem's queue."""
    files = sorted((home / "bell" / "queue").glob(f"*.{QUEUE}.msg"))
    return [json.loads(file.read_text())["headers"] for file in files]


def test_a_ring_waits_in_private_folders_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        bell = Bell(Settings(home=tmp_path))
        bell.ring("job_x")
        bell.close()
    finally:
        os.umask(before)
    (message,) = waiting(tmp_path)
    assert (message["task"], message["argsrepr"]) == (TASK, "['job_x']")
    folders = [tmp_path / "bell", *(path for path in (tmp_path / "bell").iterdir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_a_ring_reaches_redis(fresh_redis_url: str, tmp_path: Path) -> None:
    bell = Bell(Settings(home=tmp_path, broker_url=fresh_redis_url))
    bell.ring("job_x")
    bell.close()
    with redis.Redis.from_url(fresh_redis_url) as client:
        assert client.llen(QUEUE) == 1


@pytest.mark.parametrize("broker", ["filesystem://", "redis"])
def test_the_bell_is_silent_until_it_rings_and_again_once_its_rings_are_lost(
    broker: str, fresh_redis_url: str, tmp_path: Path
) -> None:
    bell = Bell(Settings(home=tmp_path, broker_url=fresh_redis_url if broker == "redis" else broker))
    assert bell.is_silent()
    bell.ring("job_x")
    assert not bell.is_silent()
    if broker == "redis":
        with redis.Redis.from_url(fresh_redis_url) as client:
            client.flushdb()
    else:
        for file in (tmp_path / "bell" / "queue").iterdir():
            file.unlink()
    assert bell.is_silent()
    bell.close()


@pytest.mark.parametrize("listens", [False, True])
def test_a_broker_that_is_away_costs_a_moment_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """One that `listens` takes connections and never says anything: whoever waited for it would wait for ever."""
    monkeypatch.setattr("api.bell._PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        if not listens:
            probe.close()
        bell = Bell(Settings(home=tmp_path, broker_url=f"redis://127.0.0.1:{port}/0"))
        with caplog.at_level(logging.WARNING, "api.bell"):
            bell.ring("job_x")
            assert not bell.is_silent()
            assert bell.fault() is not None
        bell.close()
    assert "could not ring for job_x" in caplog.text


def test_submitting_rings_after_the_commit_and_a_refused_job_does_not(client: TestClient, device: str) -> None:
    home = client.app.state.service.settings.home  # type: ignore[attr-defined]
    before = len(waiting(home))
    job = client.post("/v1/search-jobs", json=a_job()).json()["id"]
    client.post("/v1/search-jobs", json=a_job(space="nothing"))
    rung = waiting(home)[before:]
    assert [message["argsrepr"] for message in rung] == [f"['{job}']"]


def hears(rung: list[str]) -> Callable[[str], bool]:
    def ring(job_id: str) -> bool:
        rung.append(job_id)
        return True

    return ring


def test_a_broker_that_takes_no_ring_is_tried_once_a_round(
    client: TestClient, database: Database, settings: Settings, device: str
) -> None:
    jobs, tried = {submit(client) for _ in range(3)}, list[str]()

    def ring(job_id: str) -> bool:
        tried.append(job_id)
        return False

    with database.write() as session:
        session.execute(update(SearchJob).values(next_ring_us=0))
    assert set(Sweeper(database, settings, ring, is_silent=lambda: False).round()) == jobs
    assert len(tried) == 1


def test_only_the_elected_sweeper_rings(client: TestClient, database: Database, settings: Settings, job: str) -> None:
    with database.write() as session:
        session.execute(update(SearchJob).values(next_ring_us=0))
    rung: list[str] = []
    one, two = (Sweeper(database, settings, hears(rung), is_silent=lambda: False) for _ in range(2))
    assert one.round() == [job]
    with database.write() as session:
        session.execute(update(SearchJob).values(next_ring_us=0))
    assert two.round() == []
    assert one.round() == [job]
    assert rung == [job, job]


def rung_before(database: Database, seconds: float, rings: int, requeue_seconds: float) -> None:
    """The jobs are as if the last of so many rings was so long ago."""
    with database.write() as session:
        last = db_now(session) - round(seconds * 1_000_000)
        due = last + round(requeue_seconds * 1_000_000) * 2 ** (rings - 1)
        session.execute(update(SearchJob).values(rings=rings, next_ring_us=due))


def test_lost_rings_are_made_again_at_once_however_long_the_back_off(
    database: Database, settings: Settings, job: str
) -> None:
    ours, rung, silent = settings.model_copy(update={"requeue_seconds": 30.0}), list[str](), [False]
    sweeper = Sweeper(database, ours, hears(rung), is_silent=lambda: silent[0])
    rung_before(database, 31.0, 5, ours.requeue_seconds)
    assert sweeper.round() == []  # a ring still waits for a worker
    silent[0] = True
    assert sweeper.round() == [job]
    assert sweeper.round() == []  # that one has its time to be heard
    rung_before(database, 29.0, 5, ours.requeue_seconds)
    assert sweeper.round() == []
    assert rung == [job]


def test_a_sweep_that_fails_in_a_way_that_nobody_foresaw_is_not_the_last(
    database: Database, settings: Settings, job: str
) -> None:
    rung = threading.Event()

    def ring(job_id: str) -> bool:
        if not tried:
            tried.append(job_id)
            raise OverflowError("date value out of range")
        rung.set()
        return True

    tried, often = list[str](), settings.model_copy(update={"sweep_seconds": 0.02, "requeue_seconds": 0.02})
    with database.write() as session:
        session.execute(update(SearchJob).values(next_ring_us=0))
    sweeper = Sweeper(database, often, ring, is_silent=lambda: False)
    sweeper.start()
    try:
        assert rung.wait(60)
    finally:
        sweeper.stop()


def test_the_service_sweeps_while_it_runs(database: Database, settings: Settings, client: TestClient, job: str) -> None:
    quick = settings.model_copy(update={"sweep_seconds": 0.05, "home": settings.home / "quick"})
    with database.write() as session:
        session.execute(update(SearchJob).values(next_ring_us=0))
    with TestClient(create_app(quick)):
        deadline = time.monotonic() + 20
        while not waiting(quick.home) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [message["argsrepr"] for message in waiting(quick.home)] == [f"['{job}']"]


def test_readiness_tells_of_a_broker_that_is_away_and_does_not_hang_on_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, broker_url="redis://127.0.0.1:9/0", sweep_seconds=3600)
    upgrade(settings.database_url)
    with TestClient(create_app(settings)) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ok"]
    assert answer.json()["checks"]["broker"].startswith("does not answer")


def test_a_broker_that_is_there_has_no_fault(tmp_path: Path, fresh_redis_url: str) -> None:
    for url in ("filesystem://", fresh_redis_url):
        bell = Bell(Settings(home=tmp_path, broker_url=url))
        assert bell.fault() is None
        bell.close()
