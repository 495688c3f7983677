"""A job is repeated with exactly its inputs, or refused by name; the verdict compares what both left."""

import json
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore
from api.datasets.models import Dataset
from api.db.session import Database
from api.jobs.lease import claim, fail, succeed
from api.jobs.models import SearchJob
from api.jobs.pins import load
from api.settings import Settings
from api.tables.models import Table
from latency.correction import Correction
from search.pretrained import PRETRAINED
from search.space import preset
from tests.api.making import CSV, a_table_csv, an_architecture, an_npz, row_counts, stored, submit

JOBS = "/v1/search-jobs"
FILES = {name: name.encode() for name in ("architecture.json", "weights.safetensors", "model.onnx", "evidence.json")}
HERE = {"torch": "2.13.0+cpu", "processor": "Xeon", "python": "3.11.2", "threads": 1, "lutnas": "0.1.0"}


def report(**environment: Any) -> bytes:
    return json.dumps({"environment": {**HERE, **environment}}).encode()


def finish(database: Database, settings: Settings, job: str, **changed: bytes | None) -> None:
    """The part of a worker; `changed` by the first part of a file's name, None where there is none."""
    files = {name: changed.get(name.partition(".")[0], content) for name, content in FILES.items()}
    files |= {"report.json": changed.get("report", report()), PRETRAINED: b"supernet"}
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        store = ArtifactStore(settings.artifacts)
        left = [stored(store, lease, name, content) for name, content in files.items() if content is not None]
        succeed(session, lease, architecture=an_architecture(), artifacts=left)


def reproduce(client: httpx.Client, job: str, **headers: str) -> httpx.Response:
    return client.post(f"{JOBS}/{job}/reproduce", headers=headers)


def reproduced(client: httpx.Client, job: str) -> str:
    answer = reproduce(client, job)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def refused(client: httpx.Client, job: str, slug: str, database: Database) -> dict[str, Any]:
    before = row_counts(database)
    answer = reproduce(client, job)
    assert answer.status_code == 409, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:lutnas:problem:{slug}"
    assert row_counts(database) == before
    return problem


def verdict(client: httpx.Client, job: str) -> dict[str, Any]:
    answer = client.get(f"{JOBS}/{job}/reproduction")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def done(client: TestClient, database: Database, settings: Settings, device: str) -> str:
    """A job on a device's only table, with labels, that has succeeded."""
    job = submit(client, labels={"team": "cam"}, seed=3)
    finish(database, settings, job)
    return job


def test_the_new_job_has_the_inputs_of_the_first_whatever_came_since(
    client: TestClient, database: Database, done: str
) -> None:
    """A newer table of the device, a correction of the old one, another thread count: none of it counts."""
    client.post("/v1/devices/cpu/tables", content=a_table_csv(scale=2), headers=CSV)
    with database.write() as session:
        correction = {"correction": Correction(2.0, 1.0)._asdict()}
        session.execute(update(Table).values(calibration=correction))
        pins = session.get_one(SearchJob, done).pins
        session.execute(update(SearchJob).values(pins={**pins, "threads": 3}))
    first, answer = client.get(f"{JOBS}/{done}").json(), reproduce(client, done)
    assert answer.status_code == 201, answer.text
    again = answer.json()
    assert answer.headers["Location"] == f"{JOBS}/{again['id']}"
    assert again["id"] != done
    assert (again["reproduces"], again["state"], first["reproduces"]) == (done, "queued", None)
    for field in ("spec", "pins", "name", "labels"):
        assert again[field] == first[field]
    assert again["pins"]["threads"] == 3
    with database.read() as session:
        one, other = load(session, done), load(session, again["id"])
        assert session.get_one(SearchJob, done).pins == session.get_one(SearchJob, again["id"]).pins
    assert (one.spec, one.space, one.dataset, one.threads) == (other.spec, other.space, other.dataset, other.threads)
    assert one.tables[0].content_hash == other.tables[0].content_hash
    listed = client.get(JOBS, params={"label": "team:cam"}).json()["items"]
    assert [job["id"] for job in listed] == [again["id"], done]


def test_the_pinned_space_counts_not_the_one_of_that_name_today(
    client: TestClient, database: Database, done: str
) -> None:
    with database.write() as session:
        other = preset("fbnet-mini").model_copy(update={"note": "of that day"})
        session.execute(update(SearchJob).values(space=other.model_dump(mode="json")))
    again = reproduced(client, done)
    with database.read() as session:
        assert load(session, again).space == other


def test_the_same_key_gives_the_first_repetition_back(client: TestClient, done: str) -> None:
    first, second = (reproduce(client, done, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = reproduce(client, first.json()["id"], **{"Idempotency-Key": "once"})
    assert other.json()["type"].endswith("idempotency-key-reused")


@pytest.mark.parametrize(("path", "body"), [("reproduce", None), ("extend", {"finish_epochs": 1})])
def test_the_same_key_gives_the_first_one_back_though_a_newer_service_cannot_read_what_it_repeats(
    client: TestClient, database: Database, done: str, path: str, body: dict[str, Any] | None
) -> None:
    ask = partial(client.post, f"{JOBS}/{done}/{path}", json=body, headers={"Idempotency-Key": "once"})
    first = ask()
    assert first.status_code == 201, first.text
    with database.write() as session:
        session.execute(update(SearchJob).where(SearchJob.id == done).values(space={"of": "another version"}))
    again = ask()
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def test_only_jobs_that_succeeded_are_repeated(client: TestClient, database: Database, job: str) -> None:
    assert "is queued: only a job that succeeded" in refused(client, job, "job-not-succeeded", database)["detail"]
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        fail(session, lease, problem={"detail": "it broke"})
    refused(client, job, "job-not-succeeded", database)


def test_a_table_that_is_not_what_it_was_is_refused(client: TestClient, database: Database, done: str) -> None:
    with database.write() as session:
        pins = session.get_one(SearchJob, done).pins
        changed = {**pins, "tables": [{**pins["tables"][0], "content_hash": "0" * 64}]}
        session.execute(update(SearchJob).values(pins=changed))
    (error,) = refused(client, done, "inputs-changed", database)["errors"]
    assert error["field"] == "constraints[0].table"
    assert "is not what it was: its content hash is another" in error["detail"]
    with database.write() as session:
        gone = {**pins, "tables": [{**pins["tables"][0], "table": "tbl_0gone"}]}
        session.execute(update(SearchJob).values(pins=gone))
    (error,) = refused(client, done, "inputs-changed", database)["errors"]
    assert error["detail"] == "the table tbl_0gone is gone"


def test_built_in_data_of_another_version_and_a_spec_of_another_are_told_together(
    client: TestClient, database: Database, done: str
) -> None:
    with database.write() as session:
        row = session.get_one(SearchJob, done)
        session.execute(
            update(SearchJob).values(
                pins={**row.pins, "dataset_hash": "0" * 64}, spec={**row.spec, "search": {"beam": 3}}
            )
        )
    errors = refused(client, done, "inputs-changed", database)["errors"]
    assert [error["field"] for error in errors] == ["spec", "dataset"]
    assert errors[0]["detail"].startswith("is of another version of lutnas (search.beam: ")


def test_own_data_that_is_gone_or_changed_is_refused(
    client: TestClient, database: Database, settings: Settings, device: str
) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 28, 28), np.uint8), "y_train": np.arange(40) % 10,
        "x_test": rng.integers(0, 256, (10, 28, 28), np.uint8), "y_test": np.arange(10),
    }  # fmt: skip
    sent = client.post("/v1/datasets", data={"name": "own"}, files={"file": ("own.npz", an_npz(**arrays))})
    assert sent.status_code == 201, sent.text
    job = submit(client, dataset="own")
    finish(database, settings, job)
    reproduced(client, job)
    with database.read() as session:
        dataset = session.get_one(Dataset, sent.json()["id"])
        path = settings.home / "artifacts" / session.get_one(Artifact, dataset.artifact_id).path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (error,) = refused(client, job, "inputs-changed", database)["errors"]
    assert (error["field"], error["detail"]) == ("dataset", "the file dataset.npz is not what it was: restore it")
    path.unlink()
    assert "is gone" in refused(client, job, "inputs-changed", database)["detail"]


def test_weights_to_start_from_are_pinned_again_and_refused_once_changed(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    second = submit(client, search={"pretrained": done})
    finish(database, settings, second)
    again = reproduced(client, second)
    with database.read() as session:
        one, other = load(session, second), load(session, again)
    assert one.pretrained is not None
    assert one.pretrained == other.pretrained
    ArtifactStore(settings.artifacts).put(one.pretrained.path, b"others", media_type="text/plain")
    (error,) = refused(client, second, "inputs-changed", database)["errors"]
    assert (error["field"], error["detail"]) == (
        "search.pretrained", f"the file {PRETRAINED} is not what it was: restore it",
    )  # fmt: skip


def test_equal_files_are_the_same_and_a_pending_job_has_no_verdict_yet(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    again = reproduced(client, done)
    pending = verdict(client, again)
    assert pending == {
        "job": again, "reproduces": done, "state": "queued", "same": None, "files": [], "environment": [],
    }  # fmt: skip
    finish(database, settings, again)
    found = verdict(client, again)
    assert found["same"] is True
    assert [file["name"] for file in found["files"]] == list(FILES)
    assert all(file["same"] and file["first"] == file["again"] for file in found["files"])
    assert found["environment"] == []


def test_what_differs_is_named_with_how_the_environments_differ(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    again = reproduced(client, done)
    finish(database, settings, again, weights=b"others", report=report(torch="2.12.1", processor="Epyc"))
    found = verdict(client, again)
    assert found["same"] is False
    assert [file["name"] for file in found["files"] if not file["same"]] == ["weights.safetensors"]
    assert found["environment"] == [
        {"name": "torch", "first": "2.13.0+cpu", "again": "2.12.1"},
        {"name": "processor", "first": "Xeon", "again": "Epyc"},
    ]


def test_without_a_report_nothing_is_said_of_environments(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    again = reproduced(client, done)
    finish(database, settings, again, report=b"no json")
    assert verdict(client, again)["environment"] is None
    assert verdict(client, again)["same"] is True


def test_a_job_that_repeats_none_and_the_jobs_of_others_are_not_found(
    client: TestClient, stranger: httpx.Headers, done: str
) -> None:
    answer = client.get(f"{JOBS}/{done}/reproduction")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:lutnas:problem:not-a-reproduction")
    again = reproduced(client, done)
    for method, path in (("POST", f"{done}/reproduce"), ("GET", f"{again}/reproduction")):
        answer = client.request(method, f"{JOBS}/{path}", headers=stranger)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:lutnas:problem:unknown-job")
