"""A job whose finalists are timed on its device: it asks, waits, and goes on where it stood."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.lease import heartbeat
from api.jobs.models import SearchJob
from api.settings import Settings
from tests.api.requesting import PROFILE, claimed, tell
from tests.e2e.conftest import made_up_table, spec
from tests.search.builders import tiny_space
from tests.workers.attempting import Clock, attempt_of, attempted

SMALL: dict[str, Any] = {
    "search": {"epochs": 1, "warmup_epochs": 0, "batch_size": 256, "evidence_samples": 8}, "finalists": 4,
    "finish": {"epochs": 1, "batch_size": 256}, "on_device": {"wait_seconds": 60},
}  # fmt: skip


def submitted(client: TestClient, **changes: Any) -> str:
    answer = client.post("/v1/search-jobs", json=spec(**{**SMALL, **changes}))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(client: TestClient, job: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/search-jobs/{job}").json()
    return found


def events(client: TestClient, job: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    return listed


def requests(client: TestClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get("/v1/devices/board/requests").json()["items"]
    return listed[::-1]


def budget_us(client: TestClient, job: str) -> float:
    return float(shown(client, job)["spec"]["constraints"][0]["max_us"])


def agent(client: TestClient, latencies_us: list[float]) -> Callable[[], None]:
    """Answers one request after the other with these."""

    def answer() -> None:
        request, held = claimed(client, "board")
        table = client.get(f"/v1/device-requests/{request}").json()["spec"]["table"]
        result = {"table": table, "latency_us": latencies_us.pop(0)}
        told = tell(client, request, "finish", {**held, "result": result})
        assert told.status_code == 200, told.text

    return answer


def reported(client: TestClient, job: str) -> list[dict[str, Any]]:
    """What the report has as measured on devices."""
    derived = shown(client, job)["architecture"]
    report = client.get(f"/v1/architectures/{derived}/artifacts/report.json").json()
    return [row for row in report["measured"] if not row["where"].startswith("on the worker")]


def cancelled(client: TestClient, job: str) -> None:
    assert client.post(f"/v1/search-jobs/{job}/cancel").status_code == 200


class Killed(BaseException):
    """As nothing in a worker catches it."""

    @classmethod
    def now(cls) -> None:
        raise cls


def test_a_network_that_takes_too_long_on_the_device_is_not_the_one_that_is_trained(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    most = budget_us(client, job)
    attempted(database, settings, job, Clock(agent(client, [1.3 * most, 0.9 * most])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    first, second = requests(client)
    assert first["spec"]["operators"] != second["spec"]["operators"]
    assert {one["kind"] for one in (first, second)} == {"time"}
    told = [event["data"] for event in events(client, job) if event["data"].get("phase") == "measure"]
    assert [one["held"] for one in told] == [False, True]
    assert [one["measured"]["board"] for one in told] == [1.3 * most, 0.9 * most]
    (row,) = reported(client, job)
    assert (row["what"], row["latency_us"]) == ("exported network", 0.9 * most)
    assert row["where"] == "on board: made-up, 1 thread, batch 1, random weights, before training"
    notes = [event["data"]["detail"] for event in events(client, job) if event["kind"] == "note"]
    assert notes[0].startswith(f"waits for board ({first['id']}) to time the network: `lutnas agent`")
    derived = client.get(f"/v1/architectures/{shown(client, job)['architecture']}").json()
    blocks = [one for one in second["spec"]["operators"][1:-1] if one["kind"] == "mbconv"]
    named = [f"k{one['kernel']}_e{one['c_mid'] // one['c_in']}" for one in blocks]
    assert [name.split("_g")[0] for name in derived["candidates"] if name != "skip"] == named


def test_a_job_pauses_where_no_agent_answers_and_goes_on_with_the_request_that_stands(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job, clock = submitted(client), Clock()
    attempted(database, settings, job, clock)
    assert shown(client, job)["state"] == "paused"
    assert 60 <= clock.now < 62
    (ended,) = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"]
    (request,) = requests(client)
    assert ended["reason"] == (
        f"no answer within 60 s from board ({request['id']}): start `lutnas agent` there, and resume the job"
    )
    searched = sum(event["data"].get("phase") == "search" for event in events(client, job))
    assert client.post(f"/v1/search-jobs/{job}/resume").status_code == 200
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert [one["id"] for one in requests(client)] == [request["id"]]
    assert sum(event["data"].get("phase") == "search" for event in events(client, job)) == searched


def test_a_worker_that_stops_while_it_waits_leaves_the_rest_to_the_next(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job, stopping = submitted(client), list[bool]()
    attempted(database, settings, job, Clock(lambda: stopping.append(True)), drain=lambda: bool(stopping))
    assert shown(client, job)["state"] == "queued"
    agent(client, [1.0])()  # while nobody waits
    attempted(database, settings, job, Clock())
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert len(requests(client)) == 1
    assert [row["latency_us"] for row in reported(client, job)] == [1.0]


def test_a_job_that_is_cancelled_while_it_waits_withdraws_its_request(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    clock = Clock()
    with attempt_of(database, settings, job, clock) as attempt:

        def cancel() -> None:
            cancelled(client, job)
            with database.write() as session:
                attempt.heart.order = heartbeat(session, attempt.lease, 3600)  # the next beat

        clock.meanwhile = cancel
        attempt.run()
    assert shown(client, job)["state"] == "cancelled"
    assert [one["state"] for one in requests(client)] == ["cancelled"]


def test_an_agent_that_cannot_time_a_network_pauses_the_job_with_its_words_and_is_asked_anew(
    client: TestClient, database: Database, settings: Settings
) -> None:
    def fail() -> None:
        request, held = claimed(client, "board")
        tell(client, request, "fail", {**held, "detail": "no such runtime here"})

    job = submitted(client)
    attempted(database, settings, job, Clock(fail))
    assert shown(client, job)["state"] == "paused"
    (ended,) = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"]
    assert ended["reason"].endswith("timed no network: no such runtime here; resume the job to ask anew")
    client.post(f"/v1/search-jobs/{job}/resume")
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert [one["state"] for one in requests(client)] == ["failed", "succeeded"]


def test_a_paused_job_that_is_cancelled_withdraws_its_request(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job, other = submitted(client), client.post("/v1/devices/board/requests", json=PROFILE | {"space": "tiny"}).json()
    attempted(database, settings, job, Clock())
    assert client.post(f"/v1/search-jobs/{job}/cancel").json()["state"] == "cancelled"
    assert [one["state"] for one in requests(client)] == ["queued", "cancelled"]
    assert requests(client)[0]["id"] == other["id"]


def test_a_cancel_that_comes_while_the_job_is_being_paused_is_heard(
    client: TestClient, database: Database, settings: Settings
) -> None:
    """Nobody beats here: the attempt does not know of it when its patience ends."""
    job = submitted(client)
    attempted(database, settings, job, Clock(lambda: cancelled(client, job)))
    assert shown(client, job)["state"] == "cancelled"
    assert [one["state"] for one in requests(client)] == ["cancelled"]


def test_attempts_that_are_lost_while_they_wait_cost_nothing(
    client: TestClient, database: Database, settings: Settings
) -> None:
    """More of them than may be lost without a checkpoint."""
    job = submitted(client)
    for _ in range(5):
        with pytest.raises(Killed):
            attempted(database, settings, job, Clock(Killed.now))
        with database.write() as session:
            session.get_one(SearchJob, job).lease_expires_us = 0
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert len(requests(client)) == 1
    assert [event["data"]["held"] for event in events(client, job) if event["data"].get("phase") == "measure"] == [True]


def test_a_device_that_holds_the_budget_with_nothing_ends_the_job_by_name(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    most = budget_us(client, job)
    attempted(database, settings, job, Clock(agent(client, [100 * most] * 8)))
    found = shown(client, job)
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:over-budget-on-device")
    assert "and nothing is predicted to take less (board below" in found["error"]["detail"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"constraints": [{"metric": "macs", "max": 1e9}]}, "on_device: no constraint names a device's latency"),
        ({"on_device": {"wait_seconds": 0}}, "on_device.wait_seconds"),
        ({"constraints": [{"device": "board", "table": "BATCH", "max_us": 20}]}, "of batch 8"),
        ({"choices": {"precision": ["w8a8", "w4a4"]}}, "no runtime computes w4a4, which tiny offers"),
        ({"baselines": ["random"]}, "networks that a job is compared with are not timed"),
        ({"comparison": {"points": 2}}, "networks that a job is compared with are not timed"),
    ],
)
def test_what_no_agent_could_time_is_refused(client: TestClient, changes: dict[str, Any], told: str) -> None:
    of_batch_8 = made_up_table(tiny_space()).replace(b"# batch: 1", b"# batch: 8")
    headers = {"Content-Type": "text/csv"}
    table = client.post("/v1/devices/board/tables?space=tiny", content=of_batch_8, headers=headers).json()["id"]
    document = json.loads(json.dumps(spec(**{**SMALL, **changes})).replace("BATCH", table))
    answer = client.post("/v1/search-jobs", json=document)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
