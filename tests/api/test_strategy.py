"""A job of strategy hawq has the space of its given blocks: what cannot be given is refused, what it takes is told."""

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.pins import load
from tests.api.making import a_job

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


@pytest.mark.parametrize("field", ["hawq.candidates", "search.warm_start"])
def test_what_the_space_cannot_give_is_refused_by_field(client: TestClient, job: str, field: str) -> None:
    document = {
        "hawq.candidates": a_job(strategy="hawq", hawq={"candidates": ["k3_e1"]}),
        "search.warm_start": a_job(search={"warm_start": "hawq"}),
    }[field]
    answer = client.post(JOBS, json=document)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
