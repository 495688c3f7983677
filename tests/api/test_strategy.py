"""A job of strategy hawq has the space of its given blocks: what cannot be given is refused, what it takes is told."""

from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.lease import claim, succeed
from api.jobs.models import SearchJob
from api.jobs.pins import load
from tests.api.making import a_job, an_architecture, submit

JOBS = "/v1/search-jobs"


def test_a_job_of_given_blocks_searches_these_alone_and_is_forecast(
    client: TestClient, database: Database, job: str
) -> None:
    constraints = [{"device": "cpu", "max_us": 5000.0}]
    document = a_job(strategy="hawq", hawq={"epochs": 1, "vectors": 8}, constraints=constraints)
    answer = client.post(f"{JOBS}/validate", json=document).json()
    assert answer["valid"] is True, answer
    assert int(answer["architectures"]) == 1  # one precision of one block a layer
    assert answer["forecast"]["search_steps"] > 8
    assert answer["forecast"]["trial_steps"] == 0
    created = client.post(JOBS, json=document)
    assert created.status_code == 201, created.text
    with database.read() as session:
        space = load(session, created.json()["id"]).space
    assert {len(layer.choices) for layer in space.layers} == {1}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("hawq.candidates", {"strategy": "hawq", "hawq": {"candidates": ["k3_e1"]}}),
        ("search.warm_start", {"search": {"warm_start": "hawq"}}),
        ("search.warm_start", {"search": {"warm_start": "variational-dropout"}}),
    ],
)
def test_what_the_space_cannot_give_is_refused_by_field(
    client: TestClient, job: str, field: str, changes: dict[str, object]
) -> None:
    answer = client.post(JOBS, json=a_job(**changes))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def from_architecture(job: str, **changes: object) -> dict[str, object]:
    hawq = {"architecture": job, "epochs": 1, "vectors": 8}
    return a_job(strategy="hawq", hawq=hawq, constraints=[{"device": "cpu", "max_us": 5000.0}], **changes)


def finish(database: Database, job: str, **first_layer: object) -> None:
    """As if it had derived k3_e1 everywhere, but for what the first layer has of its own."""
    found = an_architecture()
    rows = [{**row, **first_layer} if number == 0 else row for number, row in enumerate(found.layers)]
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        succeed(session, lease, architecture=replace(found, layers=rows), artifacts=[])


def refused(client: TestClient, document: dict[str, object], slug: str) -> str:
    answer = client.post(JOBS, json=document)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["type"].endswith(slug)
    assert problem["errors"][0]["field"] == "hawq.architecture"
    return str(problem["errors"][0]["detail"])


def test_the_blocks_that_a_job_derived_are_taken_and_pinned(client: TestClient, database: Database, job: str) -> None:
    told = f"{job} is queued and derived no architecture: name a job that succeeded"
    assert refused(client, from_architecture(job), "no-derived-architecture") == told
    assert "there is no job" in refused(client, from_architecture("job_0nothing"), "unknown-job")
    finish(database, job)
    answer = client.post(JOBS, json=from_architecture(job))
    assert answer.status_code == 201, answer.text
    with database.read() as session:
        row = session.get_one(SearchJob, answer.json()["id"])
        assert row.pins["architecture"].startswith("arc_")
        space = load(session, row.id).space
    assert {block.candidate.name for layer in space.layers for block in layer.blocks} == {"k3_e1"}
    assert all(len(layer.blocks) == 1 for layer in space.layers)


def test_a_derived_width_that_the_table_does_not_know_is_told_as_missing(
    client: TestClient, database: Database, job: str
) -> None:
    size = [{"metric": "size", "max_bytes": 10_000_000}]
    narrow = submit(client, choices={"width": [1, 0.5]}, constraints=size)
    finish(database, narrow, candidate="k3_e3", c_mid=24)
    answer = client.post(f"{JOBS}/validate", json=from_architecture(narrow)).json()
    assert answer["valid"] is False
    assert [operator["c_mid"] for operator in answer["missing"]] == [24]


def test_a_derived_architecture_of_another_space_is_refused(client: TestClient, database: Database, job: str) -> None:
    finish(database, job)
    answer = client.post(JOBS, json=from_architecture(job, space="fbnet-cifar")).json()
    told = {error["field"]: error["detail"] for error in answer["errors"]}
    assert "name a job that searched the same stages" in told["hawq.architecture"]


def test_the_architecture_of_another_user_is_not_there(
    client: TestClient, stranger: httpx.Headers, database: Database, job: str
) -> None:
    finish(database, job)
    answer = client.post(JOBS, json=from_architecture(job), headers=stranger).json()
    told = [error["detail"] for error in answer["errors"] if error["field"] == "hawq.architecture"]
    assert told == [f"there is no job '{job}': GET /v1/search-jobs lists yours"]
