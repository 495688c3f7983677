"""What goes of jobs that have ended, what stays, and what an owner may keep."""

import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, update

from api.app import create_app
from api.artifacts.quota import stored_bytes
from api.artifacts.store import ArtifactStore, StoreAway
from api.db.session import Database
from api.jobs import retention
from api.jobs.lease import Lease, claim, release, report, save_checkpoint, succeed
from api.jobs.models import SearchJob
from api.jobs.retention import Collected, collect
from api.jobs.sweeper import Sweeper
from api.settings import Settings
from api.webhooks.models import WebhookDelivery
from tests.api.making import X, Y, a_job, an_architecture, an_npz, stored, submit
from tests.api.test_lease import taken

DATA = ("datasets/dst_06h287hscjstg7hoaesr.npz", "datasets/dst_06h287i3ilvktbc2pssa.npz")
NOTHING = Collected(0, 0, 0, 0, 0)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A store of this test alone: that of the service has what other tests left."""
    return ArtifactStore(tmp_path)


def aged(folder: Path, days: float = 1) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - days * 86_400,) * 2)


def paths(store: ArtifactStore) -> set[str]:
    return {file.path for file in store.found(half_written=True)}


def ended_long_ago(database: Database, job: str, days: float = 100) -> None:
    with database.write() as session:
        long_ago = datetime.now(UTC) - timedelta(days=days)
        session.execute(update(SearchJob).where(SearchJob.id == job).values(finished_at=long_ago))


def work(database: Database, store: ArtifactStore, lease: Lease) -> str:
    with database.write() as session:
        for step in (1, 2, 3):
            report(session, lease, kind="progress", step=step, data={"phase": "search"})
        report(session, lease, kind="distribution", step=3, data={"epoch": 1})
        file = stored(store, lease, "checkpoint")
        save_checkpoint(session, lease, step=3, artifact=file)
    return file.path_in_store


def kinds(client: TestClient, job: str) -> list[str]:
    return [event["kind"] for event in client.get(f"/v1/search-jobs/{job}/events").json()["items"]]


def test_what_an_old_job_left_goes_but_for_its_states_and_a_dry_run_only_tells(
    client: TestClient, database: Database, settings: Settings, store: ArtifactStore, job: str
) -> None:
    lease = taken(database, job)
    path = work(database, store, lease)
    assert collect(database, store, settings) == NOTHING  # it runs
    with database.write() as session:
        session.execute(update(SearchJob).where(SearchJob.id == job).values(wish="cancel"))
    _released(database, lease)
    assert collect(database, store, settings) == NOTHING  # it has just ended
    ended_long_ago(database, job)
    found = Collected(checkpoints=1, distributions=1, events=3, files=0, bytes=7)
    assert collect(database, store, settings, dry_run=True) == found
    assert len(kinds(client, job)) == 7
    assert collect(database, store, settings) == found
    assert kinds(client, job) == ["state"] * 3
    assert path not in paths(store)
    assert collect(database, store, settings) == NOTHING


def test_what_is_much_goes_bit_by_bit_so_that_others_can_write_in_between(
    client: TestClient, database: Database, settings: Settings, store: ArtifactStore, device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(retention, "_JOBS_A_ROUND", 2)
    monkeypatch.setattr(retention, "_ROWS_A_ROUND", 4)
    jobs = [submit(client) for _ in range(3)]
    for job in jobs:
        work(database, store, taken(database, job))
        with database.write() as session:
            session.execute(update(SearchJob).where(SearchJob.id == job).values(state="cancelled"))
        ended_long_ago(database, job)
    rows = list[int]()

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM job_events"):
            rows.append(cursor.rowcount)  # type: ignore[attr-defined]

    event.listen(database.engine, "after_cursor_execute", note)
    found = collect(database, store, settings)
    assert (found.distributions, found.events) == (3, 9)
    assert sum(rows) == 12
    assert max(rows) == 4
    assert [kinds(client, job) for job in jobs] == [["state"] * 2] * 3


def test_a_store_that_is_away_keeps_its_files_alone_and_they_go_once_it_is_back(
    client: TestClient, database: Database, settings: Settings, bucket_url: str, job: str
) -> None:
    bucket = ArtifactStore(bucket_url)
    away = ArtifactStore(re.sub("endpoint_url=.*", "endpoint_url=http://127.0.0.1:9", bucket_url))
    lease = taken(database, job)
    path = work(database, bucket, lease)
    with database.write() as session:
        session.execute(update(SearchJob).where(SearchJob.id == job).values(wish="cancel"))
    _released(database, lease)
    ended_long_ago(database, job)
    webhook = client.post("/v1/webhooks", json={"url": "https://example.com/"}).json()["id"]
    client.post(f"/v1/webhooks/{webhook}/ping").raise_for_status()
    with database.write() as session:
        session.execute(update(WebhookDelivery).values(state="failed", ended_at=datetime.now(UTC) - timedelta(days=99)))
    assert collect(database, bucket, settings, dry_run=True).checkpoints == 1
    with pytest.raises(StoreAway):  # by listing the files, which comes last
        collect(database, away, settings)
    assert kinds(client, job) == ["state"] * 3
    assert client.get(f"/v1/webhooks/{webhook}/deliveries").json()["items"] == []
    assert path in paths(bucket)
    aged_now = settings.model_copy(update={"keep_unnamed_seconds": 0})
    assert collect(database, bucket, aged_now) == replace(NOTHING, files=1, bytes=7)
    assert path not in paths(bucket)


def _released(database: Database, lease: Lease) -> None:
    with database.write() as session:
        release(session, lease, state="queued", reason="stopping")


def test_each_kind_stays_as_long_as_its_setting_says(
    client: TestClient, database: Database, settings: Settings, store: ArtifactStore, job: str
) -> None:
    lease = taken(database, job)
    work(database, store, lease)
    with database.write() as session:
        succeed(session, lease, architecture=an_architecture(), artifacts=[])
    ended_long_ago(database, job, days=10)
    short = settings.model_copy(update={"keep_distributions_days": 5.0})
    assert collect(database, store, short).distributions == 1
    assert kinds(client, job) == ["state", "state", "progress", "progress", "progress", "state"]


def test_files_that_no_row_names_go_when_they_are_old_and_nobody_works_on_them(
    client: TestClient, database: Database, settings: Settings, store: ArtifactStore, device: str, tmp_path: Path
) -> None:
    done, works = submit(client), submit(client)
    lease, other = taken(database, done), taken(database, works)
    named = stored(store, lease, "model.onnx")
    with database.write() as session:
        succeed(session, lease, architecture=an_architecture(), artifacts=[named])
    stored(store, lease, "late.bin")
    store.put(DATA[0], b"12345", media_type="x")
    in_work = stored(store, other, "weights")
    half = tmp_path / "datasets" / f".{Path(DATA[1]).name}.0123456789abcdef"
    half.write_bytes(b"123")  # whoever wrote it was killed
    assert collect(database, store, settings) == NOTHING  # too young
    aged(tmp_path)
    found = Collected(0, 0, 0, files=3, bytes=15)
    assert collect(database, store, settings, dry_run=True) == found
    assert collect(database, store, settings) == found
    assert paths(store) == {named.path_in_store, in_work.path_in_store}


def test_files_that_another_service_or_a_person_keeps_in_the_store_stay(
    client: TestClient, database: Database, settings: Settings, store: ArtifactStore, job: str, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    kept = ["notes.txt", "datasets/mnist.npz", "jobs/readme", f"jobs/{job}/1/folder/x"]
    for path in (*kept, DATA[0], f"jobs/{job}/1/late"):
        store.put(path, b"12345", media_type="x")
    theirs = ["jobs/job_06h287hscjstg7hoaesr/1/model.onnx", DATA[1]]
    for path in theirs:
        store.put(path, b"12345", media_type="x")
    aged(tmp_path)
    assert collect(database, store, settings).files == 1
    assert paths(store) == {*kept, DATA[0], *theirs}  # whose the data sets are is not known
    assert "files of jobs that this database does not know" in caplog.text
    store.delete(theirs[0])
    assert collect(database, store, settings).files == 2
    assert paths(store) == {*kept}


def test_the_elected_sweeper_collects(database: Database, settings: Settings, tmp_path: Path) -> None:
    ours = settings.model_copy(update={"artifacts": tmp_path, "collect_seconds": 1e-9})
    store = ArtifactStore(tmp_path)
    store.put(DATA[0], b"12345", media_type="x")
    aged(tmp_path)
    first, second = (Sweeper(database, ours, lambda _: True, is_silent=lambda: False) for _ in range(2))
    first.round()
    first.wait_for_collecting(60)
    assert DATA[0] not in paths(store)
    store.put(DATA[1], b"12345", media_type="x")
    aged(tmp_path)
    second.round()
    second.wait_for_collecting(60)
    assert DATA[1] in paths(store)


def test_a_bucket_that_is_away_does_not_end_the_sweeping(
    database: Database, settings: Settings, bucket_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    missing = bucket_url.replace("s3://", "s3://no-")
    often = settings.model_copy(update={"artifacts": missing, "collect_seconds": 1e-9, "sweep_seconds": 0.01})
    sweeper = Sweeper(database, often, lambda _: True, is_silent=lambda: False)
    with caplog.at_level(logging.WARNING, "api.jobs.sweeper"):
        sweeper.start()
        deadline = time.monotonic() + 30
        while len(caplog.records) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        sweeper.stop()
    assert [record.message for record in caplog.records[:2]] == ["collecting failed, and is tried again in 1e-09 s"] * 2


@pytest.fixture
def small(settings: Settings, database: Database, client: TestClient) -> Iterator[httpx.Client]:
    """The API of a service in which an owner may keep few bytes."""
    with TestClient(create_app(settings.model_copy(update={"max_stored_bytes": 100}))) as found:
        found.headers["Authorization"] = client.headers["Authorization"]
        yield found


def test_above_the_quota_no_upload_and_no_job_is_taken(
    small: httpx.Client, database: Database, settings: Settings, store: ArtifactStore, device: str
) -> None:
    upload = {"data": {"name": "mine"}, "files": {"file": an_npz(x=X, y=Y)}}
    before = set(Path(settings.artifacts).rglob("*.npz"))
    refused = small.post("/v1/datasets", **upload)  # type: ignore[arg-type]
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:lutnas:problem:store-quota-exceeded")
    assert small.get("/v1/datasets/mine").status_code == 404
    assert set(Path(settings.artifacts).rglob("*.npz")) == before
    answer = small.post("/v1/search-jobs", json=a_job(), headers={"Idempotency-Key": "first"})
    assert answer.status_code == 201
    with database.write() as session:
        lease = claim(session, answer.json()["id"], worker="w", lease_seconds=60)
        assert lease is not None
        file = stored(store, lease, "model.onnx", b"x" * 101)
        succeed(session, lease, architecture=an_architecture(), artifacts=[file])
    refused = small.post("/v1/search-jobs", json=a_job())
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:lutnas:problem:store-quota-exceeded")
    assert "101 bytes" in refused.json()["detail"]
    again = small.post("/v1/search-jobs", json=a_job(), headers={"Idempotency-Key": "first"})
    assert again.status_code == 200
    assert len(small.get("/v1/search-jobs").json()["items"]) == 1


def test_of_data_sets_that_come_at_once_no_more_are_taken_than_the_quota_has_room_for(
    client: TestClient, database: Database, settings: Settings
) -> None:
    def send(to: httpx.Client, name: str) -> int:
        return to.post("/v1/datasets", data={"name": name}, files={"file": an_npz(x=X, y=Y)}).status_code

    assert send(client, "first") == 201
    with database.read() as session:
        of_one = stored_bytes(session, "main")
    two = settings.model_copy(update={"max_stored_bytes": 2 * of_one})
    headers = {"Authorization": client.headers["Authorization"]}
    with TestClient(create_app(two), headers=headers) as found, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: send(found, f"more-{number}"), range(6)))
    assert sorted(answers) == [201] + [409] * 5
    with database.read() as session:
        assert stored_bytes(session, "main") == 2 * of_one
