"""A job's network is trained on by a job of its own, from the weights that were left, or refused with what to do."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.pins import load
from api.settings import Settings
from tests.api.making import row_counts, submit
from tests.api.test_reproduction import JOBS, finish

Json = dict[str, Any]


@pytest.fixture
def done(client: TestClient, database: Database, settings: Settings, device: str) -> str:
    """A job that has succeeded."""
    finishing = {"epochs": 3, "lr": 0.05, "distillation": {}, "pruning": {"schedule": "gradual"}}
    job = submit(client, labels={"team": "cam"}, baselines=["random"], finish=finishing, priority=2)
    finish(database, settings, job)
    return job


def extend(client: httpx.Client, job: str, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"{JOBS}/{job}/extend", json={"finish_epochs": 7, **body}, headers=headers)


def extended(client: httpx.Client, job: str, **body: Any) -> Json:
    answer = extend(client, job, **body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def test_the_new_job_trains_alone_with_the_inputs_of_the_first(
    client: TestClient, database: Database, done: str
) -> None:
    first, new = client.get(f"{JOBS}/{done}").json(), extended(client, done)
    assert (new["extends"], new["reproduces"], new["state"], first["extends"]) == (done, None, "queued", None)
    assert (new["pins"], new["labels"], new["priority"]) == (first["pins"], first["labels"], 2)
    told = new["spec"]["finish"]
    assert (told["epochs"], told["lr"], told["distillation"]) == (7, pytest.approx(0.015), None)
    assert (told["pruning"]["schedule"], new["spec"]["baselines"]) == ("one-shot", [])
    assert new["spec"]["search"] == first["spec"]["search"]
    steps = {name: count for name, count in new["forecast"].items() if name.endswith("_steps")}
    assert steps.pop("finish_steps") > 0
    assert set(steps.values()) == {0}
    for what in ("expected_seconds", "expected_memory_bytes"):
        assert new["forecast"][what] < first["forecast"][what]
    with database.read() as session:
        inputs, weights = load(session, new["id"]), select(Artifact).where(Artifact.name == "weights.safetensors")
        assert inputs.extended is not None
        assert inputs.extended.path == session.scalars(weights).one().path
        assert load(session, done).extended is None


def test_a_rate_is_told_or_a_share_of_the_searchs_own_however_often_it_was_extended(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    once = extended(client, done, lr=0.5)
    assert once["spec"]["finish"]["lr"] == 0.5
    finish(database, settings, once["id"])
    twice = extended(client, once["id"])
    assert (twice["extends"], twice["spec"]["finish"]["lr"]) == (once["id"], pytest.approx(0.015))


def test_the_same_key_gives_the_first_extension_and_another_body_is_refused(client: TestClient, done: str) -> None:
    first, again = (extend(client, done, key="k") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = extend(client, done, key="k", finish_epochs=8)
    assert (other.status_code, other.json()["type"]) == (409, "urn:lutnas:problem:idempotency-key-reused")


def test_a_job_that_has_not_succeeded_is_not_extended(client: TestClient, job: str) -> None:
    answer = extend(client, job)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:job-not-succeeded")
    assert "is queued" in answer.json()["detail"]


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_weights_that_are_gone_or_changed_are_named(
    client: TestClient, database: Database, settings: Settings, done: str, harm: str
) -> None:
    store = ArtifactStore(settings.artifacts)
    with database.read() as session:
        path = session.scalars(select(Artifact.path).where(Artifact.name == "weights.safetensors")).one()
    store.delete(path)
    if harm == "changed":
        store.put(path, b"others", media_type="application/octet-stream")
    before = row_counts(database)
    answer = extend(client, done)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:inputs-changed")
    assert [wrong["field"] for wrong in answer.json()["errors"]] == ["weights.safetensors"]
    assert row_counts(database) == before


def test_an_extension_is_extended_where_the_weights_that_it_began_with_are_gone(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    new = extended(client, done)["id"]
    finish(database, settings, new)
    with database.read() as session:
        mine = select(Artifact.path).where(Artifact.name == "weights.safetensors", Artifact.job_id == done)
        ArtifactStore(settings.artifacts).delete(session.scalars(mine).one())
    answer = extend(client, new)
    assert (answer.status_code, answer.json().get("extends")) == (201, new), answer.text
    assert client.post(f"{JOBS}/{new}/reproduce").status_code == 409  # which does begin with them


@pytest.mark.parametrize("body", [{"finish_epochs": 0}, {"lr": 0}, {"epochs": 3}])
def test_an_extension_that_makes_no_sense_is_refused(client: TestClient, done: str, body: Json) -> None:
    assert extend(client, done, **body).status_code == 422


def test_a_repeated_extension_is_the_same_without_evidence_of_a_search(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    new = extended(client, done)["id"]
    finish(database, settings, new, evidence=None)
    again = client.post(f"{JOBS}/{new}/reproduce").json()["id"]
    finish(database, settings, again, evidence=None)
    verdict = client.get(f"{JOBS}/{again}/reproduction").json()
    names = [file["name"] for file in verdict["files"]]
    assert (verdict["same"], names) == (True, ["architecture.json", "weights.safetensors", "model.onnx"])


def test_an_extension_is_repeated_but_neither_cloned_nor_asked_for_other_budgets(
    client: TestClient, database: Database, settings: Settings, done: str
) -> None:
    new = extended(client, done)["id"]
    finish(database, settings, new)
    again = client.post(f"{JOBS}/{new}/reproduce")
    assert (again.status_code, again.json()["extends"], again.json()["reproduces"]) == (201, done, new)
    with database.read() as session:
        assert load(session, again.json()["id"]).extended == load(session, new).extended
    cloned = client.post(f"{JOBS}/{new}/clone", json={})
    assert (cloned.status_code, done in cloned.json()["detail"]) == (422, True)
    asked = client.post(f"{JOBS}/{new}/derive", json={"constraints": [{"device": "cpu", "max_us": 250.0}]})
    assert (asked.status_code, asked.json()["type"]) == (409, "urn:lutnas:problem:no-evidence")
    assert done in asked.json()["detail"]


def test_a_stranger_cannot_extend(client: TestClient, stranger: httpx.Headers, done: str) -> None:
    answer = client.post(f"{JOBS}/{done}/extend", json={"finish_epochs": 1}, headers=stranger)
    assert answer.status_code == 404
