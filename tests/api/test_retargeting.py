"""A finished search answers new constraints at once: from its evidence alone, for any table, and keeps nothing."""

import json
import random
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.lease import claim, fail, succeed
from api.settings import Settings
from latency.formats import read_csv
from search.budgets import budgets_of
from search.evidence import Evidence
from search.space import Space, preset
from search.spec import SearchSpec
from tests.api.making import CSV, a_table_csv, an_architecture, row_counts, stored

SPACE = preset("fbnet-mini")


def some_evidence(space: Space = SPACE) -> Evidence:
    rng = random.Random(0)
    worth = tuple(tuple(rng.gauss(0, 1) for _ in layer.choices) for layer in space.layers)
    return Evidence(space=space, worth=worth, samples=300, rank_correlation=0.8, note="points of accuracy")


def finish(database: Database, settings: Settings, job: str, *, with_evidence: bool = True) -> None:
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        store = ArtifactStore(settings.artifacts)
        content = some_evidence().model_dump_json().encode()
        files = [stored(store, lease, "evidence.json", content)] if with_evidence else []
        succeed(session, lease, architecture=an_architecture(), artifacts=files)


def derive(client: httpx.Client, job: str, *constraints: dict[str, Any], **more: Any) -> httpx.Response:
    return client.post(f"/v1/search-jobs/{job}/derive", json={"constraints": constraints, **more})


@pytest.fixture
def done(client: TestClient, database: Database, settings: Settings, job: str) -> str:
    """A job that has succeeded and left evidence."""
    finish(database, settings, job)
    return job


def test_the_best_come_in_order_with_what_they_cost_and_nothing_is_kept(
    client: TestClient, database: Database, done: str
) -> None:
    before = row_counts(database)
    wanted = [{"device": "cpu", "max_us": 300.0}, {"metric": "size", "max_bytes": 200_000}]
    answer = derive(client, done, *wanted, count=4)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    spec = SearchSpec.model_validate({"space": "fbnet-mini", "dataset": "x", "constraints": wanted})
    table = read_csv(a_table_csv().splitlines(keepends=True))
    expected = some_evidence().rank(budgets_of(SPACE, spec.constraints, {0: table}), 4)
    assert [one["worth"] for one in found["architectures"]] == [ranked.worth for ranked in expected]
    for one, ranked in zip(found["architectures"], expected, strict=True):
        assert one["candidates"] == [choice.name for choice in ranked.architecture.layers]
        assert [row["candidate"] for row in one["layers"]] == [c.candidate for c in ranked.architecture.layers]
        assert [(p["name"], p.get("predicted_us", p.get("predicted_bytes"))) for p in one["predicted"]] == [
            ("cpu", ranked.totals[0]), ("size", ranked.totals[1]),
        ]  # fmt: skip
        assert one["predicted"][0]["predicted_us"] <= 300
    assert (found["job"], found["samples"], found["rank_correlation"]) == (done, 300, 0.8)
    assert [row["metric"] for row in found["reachable"]] == ["latency", "size"]
    assert row_counts(database) == before


def test_another_devices_table_gives_other_latencies(client: TestClient, done: str) -> None:
    client.post("/v1/devices", json={"name": "slow"})
    client.post("/v1/devices/slow/tables", content=a_table_csv(device="slow", scale=3), headers=CSV)
    on_cpu = derive(client, done, {"device": "cpu", "max_us": 250}).json()["architectures"][0]
    on_slow = derive(client, done, {"device": "slow", "max_us": 750}).json()["architectures"][0]
    assert on_slow["candidates"] == on_cpu["candidates"]
    assert on_slow["predicted"][0]["predicted_us"] == pytest.approx(3 * on_cpu["predicted"][0]["predicted_us"])
    assert on_slow["layers"][0]["latency_us"] == pytest.approx(3 * on_cpu["layers"][0]["latency_us"])


def test_without_a_device_there_are_no_latencies(client: TestClient, done: str) -> None:
    answer = derive(client, done, {"metric": "macs", "max": 4e6}, {"metric": "memory", "max_bytes": 60_000}).json()
    (found,) = answer["architectures"]
    assert found["predicted"][0]["predicted_macs"] <= 4e6
    assert found["predicted"][1]["predicted_bytes"] <= 60_000
    assert all(row["latency_us"] is None and row["macs"] is not None for row in found["layers"])


def test_a_front_rises_to_the_best_that_the_first_constraint_allows(client: TestClient, done: str) -> None:
    first = {"device": "cpu", "max_us": 300}
    front = derive(client, done, first, front=True).json()["architectures"]
    rows = [(one["predicted"][0]["predicted_us"], one["worth"]) for one in front]
    assert len(rows) > 3
    assert rows == sorted(rows)
    assert len({worth for _, worth in rows}) == len(rows)
    assert front[-1] == derive(client, done, first).json()["architectures"][0]


def test_a_job_that_is_not_done_says_what_to_do(client: TestClient, database: Database, job: str) -> None:
    answer = derive(client, job, {"device": "cpu", "max_us": 250})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:job-not-succeeded")
    assert "queued" in answer.json()["detail"]
    assert "when it has succeeded" in answer.json()["detail"]
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        fail(session, lease, problem={"detail": "no"})
    assert "submit it again" in derive(client, job, {"device": "cpu", "max_us": 250}).json()["detail"]


def test_a_job_without_evidence_says_so(client: TestClient, database: Database, settings: Settings, job: str) -> None:
    finish(database, settings, job, with_evidence=False)
    answer = derive(client, job, {"device": "cpu", "max_us": 250})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:no-evidence")


def test_a_job_of_somebody_else_is_unknown(client: TestClient, stranger: httpx.Headers, done: str) -> None:
    body = {"constraints": [{"device": "cpu", "max_us": 250}]}
    answer = client.post(f"/v1/search-jobs/{done}/derive", json=body, headers=stranger)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:lutnas:problem:unknown-job")


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a budget that nothing reaches": (
        {"constraints": [{"device": "cpu", "max_us": 1}]}, "unreachable-budget", "constraints[0].max_us",
    ),
    "an unknown device": (
        {"constraints": [{"device": "nowhere", "max_us": 1}]}, "unknown-device", "constraints[0].device",
    ),
    "budgets that exclude each other": (
        {"constraints": [{"device": "cpu", "max_us": 150}, {"metric": "macs", "max": 820_000}]}, "unreachable-budget",
        "constraints",
    ),
    "no constraint": ({"constraints": []}, "invalid-request", "constraints"),
    "too many": ({"constraints": [{"metric": "macs", "max": 1e9}], "count": 17}, "invalid-request", "count"),
    "a counted front": (
        {"constraints": [{"metric": "macs", "max": 1e9}], "count": 2, "front": True}, "invalid-request", "body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_as_in_a_submission(client: TestClient, done: str, name: str) -> None:
    body, slug, field = REFUSED[name]
    answer = client.post(f"/v1/search-jobs/{done}/derive", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:lutnas:problem:{slug}"), answer.text
    assert answer.json()["errors"][0]["field"] == field
    if slug == "unreachable-budget":
        assert answer.json()["reachable"][0]["min_us"] > 0


def test_a_table_that_does_not_cover_the_space_is_named_with_what_it_lacks(client: TestClient, done: str) -> None:
    client.post("/v1/devices", json={"name": "part"})
    client.post("/v1/devices/part/tables", content=a_table_csv(device="part", without=3), headers=CSV)
    answer = derive(client, done, {"device": "part", "max_us": 250})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutnas:problem:space-not-covered")
    assert len(answer.json()["missing"]) == 3


def test_an_answer_has_as_many_architectures_as_were_asked_for(client: TestClient, done: str) -> None:
    answer = derive(client, done, {"device": "cpu", "max_us": 300}, {"metric": "size", "max_bytes": 2e5}, count=16)
    assert len(answer.json()["architectures"]) == 16


def test_the_evidence_is_downloaded_like_any_file(client: TestClient, done: str) -> None:
    architecture = client.get(f"/v1/search-jobs/{done}").json()["architecture"]
    content = client.get(f"/v1/architectures/{architecture}/artifacts/evidence.json").content
    assert Evidence.model_validate(json.loads(content)) == some_evidence()
