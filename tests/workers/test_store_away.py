"""A store that does not answer costs a job time, and never the job."""

import errno
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.artifacts.store import ArtifactStore, StoredFile
from api.db.session import Database
from api.jobs.lease import latest_checkpoint
from api.jobs.models import SearchJob
from api.settings import Settings
from search.datasets import load
from tests.api.making import an_npz
from tests.e2e.conftest import spec
from tests.workers import attempting
from tests.workers.asking import Killed
from tests.workers.attempting import SMALL, Clock, never, small_disk
from tests.workers.test_storing import AwayFor
from workers.ending import Unloaded, from_the_store
from workers.runner import run_job


@pytest.fixture
def own_data(client: TestClient, settings: Settings) -> str:
    """A data set whose file lies in the store."""
    digits = load("digits", folder=settings.data_dir, say=print, source=None)
    arrays = {name: getattr(digits, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    sent = client.post("/v1/datasets", data={"name": "mine"}, files={"file": an_npz(**arrays)})
    assert sent.status_code == 201, sent.text
    return "mine"


def attempted(database: Database, settings: Settings, job: str, store: ArtifactStore, *, drain: bool = False) -> float:
    """One attempt of the job; gives the seconds that its worker slept."""
    clock = Clock()
    attempting.attempted(database, settings, job, clock, lambda: drain, store)
    return clock.now


def attempts(client: TestClient, job: str) -> list[tuple[str, str | None]]:
    listed = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"]
    return [(one["ended"], one["reason"]) for one in listed]


def test_a_job_ends_though_the_store_took_no_checkpoint_and_removed_none(
    client: TestClient, database: Database, settings: Settings
) -> None:
    always = settings.model_copy(update={"checkpoint_seconds": 0.0})
    job = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"]
    store = AwayFor(settings.home / "artifacts", 3)
    attempted(database, always, job, store)
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert found["state"] == "succeeded", found["error"]
    assert attempts(client, job) == [("succeeded", None)]
    checkpoints = [file.path for file in store.found() if "checkpoint" in file.path]
    assert len(checkpoints) > 1  # for the collector


def test_a_job_whose_data_or_checkpoint_a_store_does_not_give_waits_for_it_however_often(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    job = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"]
    for _ in range(4):  # more than LUTNAS_MAX_ATTEMPTS
        # Else the worker claims it again at once.
        slept = attempted(database, settings, job, AwayFor(settings.home / "artifacts", loads=1))
        assert slept == 30.0
        assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "queued"
    why = "its files could not be loaded: s3://b/p cannot be used: no route to host"
    assert attempts(client, job) == [("drained", why)] * 4
    attempted(database, settings, job, ArtifactStore(settings.artifacts))
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert found["state"] == "succeeded", found["error"]


def test_a_job_whose_files_the_store_did_not_give_lets_one_other_go_first(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    terms: list[dict[str, Any]] = [{"dataset": own_data, "priority": 1}, {}, {}]
    jobs = [client.post("/v1/search-jobs", json=spec(**SMALL, **more)).json()["id"] for more in terms]

    def states() -> list[str]:
        return [client.get(f"/v1/search-jobs/{job}").json()["state"] for job in jobs]

    attempted(database, settings, jobs[0], AwayFor(settings.home / "artifacts", loads=1))
    run_job(jobs[0], settings, drain=never)
    assert states() == ["queued", "succeeded", "queued"]
    run_job(jobs[0], settings, drain=never)  # the store gives them again
    assert states() == ["succeeded", "succeeded", "queued"]


def test_a_share_that_fails_while_it_is_read_gives_the_job_back() -> None:
    for code, kind in ((errno.ESTALE, Unloaded), (errno.ENOSPC, Unloaded), (errno.EISDIR, OSError)):
        with pytest.raises(kind), from_the_store():
            raise OSError(code, os.strerror(code))


def test_results_wait_for_a_store_that_is_away(client: TestClient, database: Database, settings: Settings) -> None:
    without = settings.model_copy(update={"checkpoint_seconds": 3600.0})
    job = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"]
    assert attempted(database, without, job, AwayFor(settings.home / "artifacts", 3)) == 6.0
    assert attempts(client, job) == [("succeeded", None)]


@pytest.mark.parametrize("files", [1, 1000], ids=["no folder can be made", "no file can be written"])
def test_results_wait_for_room_on_the_workers_own_disk_and_checkpoints_do_without(
    client: TestClient, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    files: int,
) -> None:  # fmt: skip
    own = tmp_path / "own"
    own.mkdir()
    job = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"]
    with small_disk(own, files=files) as more_room:
        monkeypatch.setattr("tempfile.tempdir", str(own))
        clock = Clock(more_room)
        always = settings.model_copy(update={"checkpoint_seconds": 0.0})
        attempting.attempted(database, always, job, clock)
    assert attempts(client, job) == [("succeeded", None)]
    assert clock.now == 2.0


def test_a_slow_load_earns_no_checkpoint(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    """One forgives the workers that were lost before."""

    class Slow(ArtifactStore):
        def local(self, path_in_store: str) -> AbstractContextManager[Path]:
            clock.now += 2 * settings.checkpoint_seconds
            return super().local(path_in_store)

    job, clock, looks = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"], Clock(), [0]

    def drain() -> bool:
        looks[0] += 1
        if looks[0] > 3:
            Killed.now()
        return False

    with pytest.raises(Killed):
        attempting.attempted(database, settings, job, clock, drain, Slow(settings.artifacts))
    assert clock.now > settings.checkpoint_seconds
    with database.read() as session:
        assert latest_checkpoint(session, job) is None


def test_a_checkpoint_that_takes_long_is_not_followed_by_another_at_the_next_step(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    class Slow(ArtifactStore):
        def put(self, path_in_store: str, source: Any, *, media_type: str, name: str | None = None) -> StoredFile:
            clock.now += 2 * settings.checkpoint_seconds
            kept.append(path_in_store)
            return super().put(path_in_store, source, media_type=media_type, name=name)

    job, clock = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"], Clock()
    kept, looks = list[str](), list[None]()

    def step() -> bool:
        clock.now += settings.checkpoint_seconds / 4
        looks.append(None)
        return False

    attempting.attempted(database, settings, job, clock, step, Slow(settings.artifacts))
    assert attempts(client, job) == [("succeeded", None)]
    checkpoints = [path for path in kept if "checkpoint" in path]
    assert 1 <= len(checkpoints) <= len(looks) / 4


def test_a_worker_whose_store_cannot_be_used_takes_no_job(
    client: TestClient, database: Database, settings: Settings, own_data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "api.artifacts.bucket", None)  # as without the package for buckets
    job = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"]
    asked = iter([False])  # and then told to stop
    bucket = settings.model_copy(update={"artifacts": "s3://bucket/prefix"})
    run_job(job, bucket, drain=lambda: next(asked, True))
    assert (client.get(f"/v1/search-jobs/{job}").json()["state"], attempts(client, job)) == ("queued", [])


def test_a_file_that_is_gone_fails_its_job_by_name(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    job = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"]
    store = ArtifactStore(settings.artifacts)
    store.put("jobs/another/1/model.onnx", b"x", media_type="x/y")  # an empty store would be one that is away
    for file in list(store.found("datasets")):
        store.delete(file.path)
    attempted(database, settings, job, store)
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:artifact-missing")


def test_a_job_trains_on_no_other_data_than_it_was_submitted_with(
    client: TestClient, database: Database, settings: Settings, own_data: str
) -> None:
    job = client.post("/v1/search-jobs", json=spec(**SMALL, dataset=own_data)).json()["id"]
    store = ArtifactStore(settings.artifacts)
    digits = load("digits", folder=settings.data_dir, say=print, source=None)
    (mine,) = store.found("datasets")
    others = an_npz(x_train=digits.x_test, y_train=digits.y_test, x_test=digits.x_test, y_test=digits.y_test)
    store.put(mine.path, others, media_type="x/y")
    attempted(database, settings, job, store)
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:dataset-changed")
    assert mine.path in found["error"]["detail"]


def test_a_job_that_goes_on_in_another_environment_says_so(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job, store = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"], ArtifactStore(settings.artifacts)
    attempted(database, settings, job, store, drain=True)
    with database.write() as session:
        row = session.get_one(SearchJob, job)
        row.pins = {**row.pins, "threads": 2}
    attempted(database, settings, job, store)
    events = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    (warning,) = [event["data"]["detail"] for event in events if event["kind"] == "warning"]
    assert warning.startswith("goes on in another environment")
    assert warning.endswith("bits: threads 1, now 2")
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "succeeded"
