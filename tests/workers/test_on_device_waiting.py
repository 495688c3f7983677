"""A job that waits for its device: it goes on where it stood, and leaves nothing behind where it ends."""

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.ending import finish
from api.jobs.lease import LeaseLost, Order, claim, heartbeat, latest_checkpoint
from api.jobs.models import SearchJob
from api.jobs.pins import load
from api.requests import service
from api.settings import Settings
from search.architecture import Architecture
from search.network import Network
from tests.api.requesting import PROFILE, claimed, run_out, tell
from tests.search.builders import tiny_space
from tests.workers.asking import (
    Killed,
    agent,
    cancelled,
    events,
    measured,
    reported,
    requests,
    shown,
    silent,
    submitted,
)
from tests.workers.attempting import Clock, attempt_of, attempted
from tests.workers.test_storing import AwayFor
from workers.on_device import DeviceTimer


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


def test_a_job_asks_anew_where_the_agent_was_told_to_leave_its_request_and_fell_silent(
    client: TestClient, database: Database, settings: Settings
) -> None:
    def cancel() -> None:
        request, _ = claimed(client, "board")
        client.post(f"/v1/device-requests/{request}/cancel").raise_for_status()

    job = submitted(client)
    attempted(database, settings, job, Clock(cancel))
    assert shown(client, job)["state"] == "paused"
    (first,) = requests(client)
    assert (first["state"], first["asked"]) == ("running", "cancel")
    run_out(database, first["id"])
    client.post(f"/v1/search-jobs/{job}/resume")
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert [one["state"] for one in requests(client)] == ["cancelled", "succeeded"]


def test_a_job_pauses_where_its_device_takes_no_more_requests_and_searches_no_more_once_it_does(
    client: TestClient, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(client)
    monkeypatch.setattr(service, "MOST_OPEN", 0)
    attempted(database, settings, job, Clock())
    assert shown(client, job)["state"] == "paused"
    (ended,) = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"]
    assert ended["reason"].startswith("board was not asked: board has 0 requests that are not at their end")
    searched = sum(event["data"].get("phase") == "search" for event in events(client, job))
    monkeypatch.undo()
    client.post(f"/v1/search-jobs/{job}/resume")
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert sum(event["data"].get("phase") == "search" for event in events(client, job)) == searched


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
        silent(database, job)
    attempted(database, settings, job, Clock(agent(client, [1.0])))
    assert shown(client, job)["state"] == "succeeded", shown(client, job)["error"]
    assert len(requests(client)) == 1
    assert [one["held"] for one in measured(client, job)] == [True]


def test_a_checkpoint_for_which_there_was_no_room_when_the_waiting_began_is_kept_at_its_end(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    seldom = settings.model_copy(update={"checkpoint_seconds": 3600.0})
    attempted(database, seldom, job, Clock(), store=AwayFor(settings.home / "artifacts", 1))
    assert shown(client, job)["state"] == "paused"
    with database.read() as session:
        assert latest_checkpoint(session, job) is not None


def test_a_job_that_takes_every_worker_with_it_behind_the_answer_fails(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    with pytest.raises(Killed):
        attempted(database, settings, job, Clock(Killed.now))
    agent(client, [1.0])()
    for _ in range(3):
        before = len(measured(client, job))

        def drain(before: int = before) -> bool:
            if len(measured(client, job)) > before:
                Killed.now()
            return False

        silent(database, job)
        with pytest.raises(Killed):
            attempted(database, settings, job, Clock(), drain=drain)
    silent(database, job)
    with database.write() as session:
        assert claim(session, job, worker="w", lease_seconds=60) is None
    assert shown(client, job)["error"]["type"] == "urn:lutnas:problem:workers-lost"
    assert len(requests(client)) == 1


def test_a_pause_that_is_taken_back_while_the_worker_obeys_it_is_none(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job, clock = submitted(client), Clock()
    with attempt_of(database, settings, job, clock) as attempt:

        def pause_and_resume() -> None:
            attempt.heart.order = Order.PAUSE  # as a beat heard it
            for asked in ("pause", "resume"):
                assert client.post(f"/v1/search-jobs/{job}/{asked}").status_code == 200

        clock.meanwhile = pause_and_resume
        attempt.run()
    assert shown(client, job)["state"] == "queued"
    assert events(client, job)[-1]["data"]["reason"] == "its user took a pause back"


def test_time_that_runs_out_while_a_device_is_waited_for_is_told_so(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client, limits={"max_seconds": 50})
    attempted(database, settings, job, Clock())
    error = shown(client, job)["error"]
    assert error["type"] == "urn:lutnas:problem:time-limit"
    assert error["detail"].endswith("raise it, or see to an agent of the device, whose answer it waits for")


def test_a_job_withdraws_what_it_asked_of_a_device_that_is_another_owners(
    client: TestClient, database: Database, settings: Settings
) -> None:
    """As the repetition of a team's job is: it belongs to who asked for it."""
    job = submitted(client)
    with pytest.raises(Killed):
        attempted(database, settings, job, Clock(Killed.now))
    with database.write() as session:
        row = session.get_one(SearchJob, job)
        row.owner = "alice"
        finish(session, row, "cancelled")
    assert [one["state"] for one in requests(client)] == ["cancelled"]


def test_a_request_whose_agent_is_gone_ends_with_the_job(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = submitted(client)
    attempted(database, settings, job, Clock())
    request, _ = claimed(client, "board")
    run_out(database, request)
    cancelled(client, job)
    assert [one["state"] for one in requests(client)] == ["cancelled"]


def test_an_attempt_that_is_over_asks_no_device(client: TestClient, database: Database, settings: Settings) -> None:
    job = submitted(client)
    with attempt_of(database, settings, job, Clock()) as attempt, database.read() as session:
        timer = DeviceTimer(attempt.lease, load(session, job), database, listen=lambda: None, keep=bool, tell=print)
    silent(database, job)
    with database.write() as session:
        claim(session, job, worker="another", lease_seconds=60)
    space = tiny_space()
    network = Network.new(Architecture.from_indices(space, [0] * len(space.layers)), seed=0)
    with pytest.raises(LeaseLost):
        timer(network)
    assert requests(client) == []
