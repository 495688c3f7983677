"""Upgrades: a worker that one left behind, and checkpoints of before."""

import hashlib
import logging
from functools import partial

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.lease import KeptCheckpoint, latest_checkpoint
from api.jobs.models import Checkpoint
from api.settings import Settings
from search import state
from tests.workers.asking import submitted
from tests.workers.attempting import Clock, attempted
from workers.runner import run_job


def weights(client: TestClient, job: str) -> str:
    files = client.get(f"/v1/search-jobs/{job}/artifacts").json()["items"]
    return next(str(file["sha256"]) for file in files if file["name"] == "weights.safetensors")


def interrupted(database: Database, settings: Settings, job: str) -> KeptCheckpoint:
    """The checkpoint that a job leaves which is stopped at its fifth step."""
    attempted(database, settings, job, Clock(), drain=partial(next, iter([False] * 5), True))
    with database.read() as session:
        kept = latest_checkpoint(session, job)
    assert kept is not None
    return kept


def told(database: Database, job: str, checkpoint: bytes) -> None:
    """Has the database know the job's checkpoint as this."""
    with database.write() as session:
        session.get_one(Checkpoint, job).sha256 = hashlib.sha256(checkpoint).hexdigest()


def test_a_worker_takes_no_job_of_a_database_of_another_version(
    client: TestClient, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    job, looks = submitted(client), iter([False, True])
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with caplog.at_level(logging.WARNING, "workers.away"):
        run_job(job, settings, drain=lambda: next(looks))
    assert "the database is of another version of lutnas than this worker" in caplog.text
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "queued"
    assert client.get(f"/v1/search-jobs/{job}/attempts").json()["items"] == []


def test_a_job_begins_anew_where_its_checkpoint_is_of_another_version(
    client: TestClient, database: Database, settings: Settings
) -> None:
    first, job = (submitted(client, on_device=None) for _ in range(2))
    attempted(database, settings, first, Clock())
    store, kept = ArtifactStore(settings.artifacts), interrupted(database, settings, job)
    with store.local(kept.path) as file:
        content = state.load(file)
        ours = content["run"]["format"]
        for form in (ours + 1, ours - 1):
            content["run"]["format"] = form
            state.save(content, file)
            told(database, job, file.read_bytes())
            attempted(database, settings, job, Clock())
            if form > ours:  # who wrote that is to go on with it
                ended = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"][-1]
                assert "the checkpoint is of a newer version of lutnas than this worker" in ended["reason"]
                assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "queued"
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "succeeded"
    events = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    (warning,) = [event["data"]["detail"] for event in events if event["kind"] == "warning"]
    assert "another version of lutnas: the job begins anew" in warning
    assert weights(client, job) == weights(client, first)


@pytest.mark.parametrize("damage", ["gone", "another", "empty"])
def test_a_job_whose_checkpoint_is_not_what_was_kept_begins_anew_and_says_so(
    client: TestClient, database: Database, settings: Settings, damage: str
) -> None:
    """As after a restore, or where a disk lost what it had promised to keep."""
    first, job = (submitted(client, on_device=None) for _ in range(2))
    attempted(database, settings, first, Clock())
    store, kept = ArtifactStore(settings.artifacts), interrupted(database, settings, job)
    if damage == "gone":
        store.delete(kept.path)
    else:
        with store.local(kept.path) as file:
            content = file.read_bytes() if damage == "another" else b""
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"")  # one bit of a weight
    attempted(database, settings, job, Clock())
    assert weights(client, job) == weights(client, first)
    events = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    (warning,) = [event["data"]["detail"] for event in events if event["kind"] == "warning"]
    assert warning.startswith("the checkpoint cannot be read (")
    assert warning.endswith("the job begins anew, with the inputs that it has")


def test_a_job_whose_checkpoint_is_gone_twice_fails(client: TestClient, database: Database, settings: Settings) -> None:
    """As where two workers each have a store of their own: each would begin anew what the other had done."""
    job, store = submitted(client, on_device=None), ArtifactStore(settings.artifacts)
    for _ in range(2):
        kept = interrupted(database, settings, job)
        store.put("jobs/another/1/model.onnx", b"x", media_type="x/y")  # an empty store would be one that is away
        store.delete(kept.path)
    attempted(database, settings, job, Clock())
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:artifact-missing")
