"""What a job would reach and take is told before it is spent, at the pace that jobs here had."""

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.lease import claim, succeed
from search.forecast import MACS_PER_THREAD_SECOND
from tests.api.making import a_job, an_architecture, submit

JOBS = "/v1/search-jobs"


def finish(database: Database, job: str, *, threads: int, rate: float | None) -> None:
    pace = {"threads": threads, "search_macs_per_second": rate, "finish_macs_per_second": None}
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
        assert lease is not None
        succeed(session, lease, architecture=an_architecture(), artifacts=[], pace=pace)


def test_what_can_be_reached_is_told_for_every_metric_in_its_unit(client: TestClient, device: str) -> None:
    constraints = [
        {"device": "cpu", "max_us": 250}, {"metric": "size", "max_bytes": 3e5},
        {"metric": "memory", "max_bytes": 2e5}, {"metric": "macs", "max": 5e6},
    ]  # fmt: skip
    found = client.post(f"{JOBS}/validate", json=a_job(constraints=constraints)).json()
    assert found["valid"], found
    ranges = {row["name"]: row for row in found["reachable"]}
    for name, unit in (("cpu", "us"), ("size", "bytes"), ("memory", "bytes"), ("macs", "macs")):
        assert 0 < ranges[name][f"min_{unit}"] < ranges[name][f"max_{unit}"]
    assert (ranges["cpu"]["metric"], ranges["cpu"]["device"], "device" in ranges["size"]) == ("latency", "cpu", False)


def test_a_job_of_other_metrics_pins_no_table(client: TestClient) -> None:
    job = submit(client, constraints=[{"metric": "size", "max_bytes": 3e5}])
    assert client.get(f"{JOBS}/{job}").json()["pins"]["tables"] == []


def test_pins_tell_whose_table_they_are(client: TestClient, device: str) -> None:
    job = submit(client, constraints=[{"metric": "size", "max_bytes": 3e5}, {"device": "cpu", "max_us": 250}])
    (pin,) = client.get(f"{JOBS}/{job}").json()["pins"]["tables"]
    assert (pin["constraint"], pin["device"]) == (1, "cpu")


def test_time_and_memory_come_with_validation_and_stay_with_the_job(client: TestClient, device: str) -> None:
    told = client.post(f"{JOBS}/validate", json=a_job()).json()["forecast"]
    assert told["expected_seconds"] > 0
    assert told["expected_memory_bytes"] > 4e8
    assert "a constant" in told["rests_on"]
    assert client.get(f"{JOBS}/{submit(client)}").json()["forecast"] == told


def test_a_job_that_would_be_refused_is_forecast_where_space_and_data_are_known(client: TestClient) -> None:
    known = client.post(f"{JOBS}/validate", json=a_job()).json()
    assert not known["valid"]
    assert known["forecast"]["search_steps"] > 0
    assert client.post(f"{JOBS}/validate", json=a_job(space="nothing")).json()["forecast"] is None


def test_the_pace_is_that_of_finished_jobs_on_as_many_threads(
    client: TestClient, database: Database, device: str
) -> None:
    before = client.post(f"{JOBS}/validate", json=a_job(finish={"epochs": 0})).json()["forecast"]
    for rate in (1e9, 5e9, 2.5e9):
        finish(database, submit(client), threads=1, rate=rate)
    finish(database, submit(client), threads=8, rate=9e12)
    finish(database, submit(client), threads=1, rate=None)
    after = client.post(f"{JOBS}/validate", json=a_job(finish={"epochs": 0})).json()["forecast"]
    assert after["rests_on"] == "the median pace of 3 finished jobs of this service on 1 thread"
    slower = MACS_PER_THREAD_SECOND / 2.5e9
    assert after["expected_seconds"] == pytest.approx(slower * before["expected_seconds"], rel=1e-3)
