"""Leases of requests to devices: one is done at a time, and only the newest claim may answer."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.sweep import sweep
from api.settings import Settings
from tests.api.making import CSV, a_table_csv
from tests.api.requesting import Json, ask, claim, claimed, read, run_out, tell

WRITES: list[tuple[str, Json]] = [
    ("heartbeat", {}), ("finish", {"result": {}}), ("fail", {"detail": "x"}), ("release", {}),
]  # fmt: skip


def test_the_oldest_is_claimed_first_and_one_at_a_time(client: TestClient, board: str) -> None:
    client.post("/v1/devices", json={"name": "second"})
    made = [ask(client, board)["id"] for _ in range(3)]
    elsewhere = ask(client, "second")["id"]
    for request in made:
        found, held = claimed(client, board)
        assert (found, held["attempt"]) == (request, 1)
        assert claim(client, board, "b") is None
        assert tell(client, found, "fail", {**held, "detail": "no"}).status_code == 200
    assert claim(client, board) is None
    assert claimed(client, "second")[0] == elsewhere  # another device waits for nobody


def test_of_many_agents_that_claim_at_once_one_wins(client: TestClient, board: str) -> None:
    for _ in range(3):
        ask(client, board)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: claim(client, board, f"agent-{n}"), range(8)))
    (won,) = [one for one in found if one is not None]
    assert won["lease"]["attempt"] == 1


def test_a_claim_whose_answer_was_lost_gives_the_same_lease_again(client: TestClient, board: str) -> None:
    ask(client, board)
    assert claimed(client, board) == claimed(client, board)


def test_a_lease_tells_when_it_ends(client: TestClient, board: str, settings: Settings) -> None:
    ask(client, board)
    found = claim(client, board)
    assert found is not None
    assert found["lease"]["seconds"] == pytest.approx(settings.lease_seconds, abs=1)
    assert found["request"]["state"] == "running"
    assert found["request"]["started_at"] is not None


def test_an_upload_and_a_claim_do_not_wait_for_each_other_forever(client: TestClient, board: str) -> None:
    """Both lock the device's row."""
    for _ in range(4):
        ask(client, board)

    def upload(scale: int) -> int:
        text = a_table_csv(device="board", scale=scale)
        return client.post(f"/v1/devices/{board}/tables", content=text, headers=CSV).status_code

    def work(_: int) -> int:
        request, held = claimed(client, board)
        return tell(client, request, "heartbeat", held).status_code

    with ThreadPoolExecutor(4) as pool:
        uploads, beats = pool.map(upload, range(1, 5)), pool.map(work, range(4))
        assert {*uploads} == {201}
        assert {*beats} == {200}


def test_a_heartbeat_keeps_the_lease_and_the_progress(client: TestClient, database: Database, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    run_out(database, request)
    assert read(client, request)["silent"]
    told = {"done": 3, "total": 90, "seconds_left": 12.5, "message": "timing"}
    assert tell(client, request, "heartbeat", {**held, **told}).json() == {"order": "continue"}
    found = read(client, request)
    assert (found["silent"], found["progress"]) == (False, told)
    assert claim(client, board, "b") is None


def test_a_lease_that_ran_out_is_claimed_again_and_the_old_attempt_can_write_nothing(
    client: TestClient, database: Database, board: str
) -> None:
    ask(client, board)
    request, old = claimed(client, board, "old")
    run_out(database, request)
    again, new = claimed(client, board, "new")
    assert (again, new["attempt"]) == (request, 2)
    before = read(client, request)
    for holder in (old, {**new, "agent": "old"}, {**new, "attempt": 1}):
        for what, more in WRITES:
            answer = tell(client, request, what, {**holder, **more})
            assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:lease-lost")
    assert read(client, request) == before
    assert tell(client, request, "heartbeat", new).status_code == 200


def test_an_agent_that_was_away_goes_on_where_nobody_took_over(
    client: TestClient, database: Database, device: str, table: str
) -> None:
    ask(client, device)
    request, held = claimed(client, device)
    run_out(database, request)
    assert tell(client, request, "finish", {**held, "result": {"table": table}}).json()["state"] == "succeeded"


def test_after_three_lost_attempts_the_request_fails_and_the_next_one_begins(
    client: TestClient, database: Database, board: str
) -> None:
    request, following = (ask(client, board)["id"] for _ in range(2))
    for attempt in (1, 2, 3):
        assert claimed(client, board, f"agent-{attempt}") == (
            request,
            {"agent": f"agent-{attempt}", "attempt": attempt},
        )
        run_out(database, request)
    assert claimed(client, board)[0] == following
    found = read(client, request)
    assert (found["state"], found["error"]["type"]) == ("failed", "urn:lutnas:problem:agents-lost")
    assert "agent-3" in found["error"]["detail"]


def test_a_request_given_back_is_claimable_at_once_and_never_counts_as_lost(client: TestClient, board: str) -> None:
    first, _ = (ask(client, board)["id"] for _ in range(2))
    for attempt in range(1, 6):
        request, held = claimed(client, board, f"agent-{attempt}")
        assert (request, held["attempt"]) == (first, attempt)
        for _ in range(2):  # the answer to the first may be lost
            assert tell(client, request, "release", held).json()["state"] == "queued"


def test_cancel_is_seen_at_the_next_heartbeat(client: TestClient, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    assert client.post(f"/v1/device-requests/{request}/cancel").json()["asked"] == "cancel"
    assert tell(client, request, "heartbeat", held).json() == {"order": "cancel"}
    ended = tell(client, request, "release", held).json()
    assert (ended["state"], ended["asked"]) == ("cancelled", None)
    assert claim(client, board) is None


def test_an_answer_that_comes_behind_the_cancel_ends_the_request_as_cancelled(client: TestClient, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    client.post(f"/v1/device-requests/{request}/cancel")
    for _ in range(2):  # the answer to the first may be lost
        told = tell(client, request, "finish", {**held, "result": {"table": "tbl_x"}})
        assert (told.status_code, told.json()["state"]) == (200, "cancelled")


def test_a_queued_request_is_cancelled_at_once_and_an_ended_one_not_at_all(client: TestClient, board: str) -> None:
    request = ask(client, board)["id"]
    for _ in range(2):
        assert client.post(f"/v1/device-requests/{request}/cancel").json()["state"] == "cancelled"
    failing = ask(client, board)["id"]
    _, held = claimed(client, board)
    tell(client, failing, "fail", {**held, "detail": "no runtime"})
    answer = client.post(f"/v1/device-requests/{failing}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:request-finished")


def test_a_request_whose_agent_fell_silent_is_cancelled_without_it(
    client: TestClient, database: Database, board: str
) -> None:
    first, second = (ask(client, board)["id"] for _ in range(2))
    for request, asked_before in ((first, False), (second, True)):
        assert claimed(client, board)[0] == request
        if asked_before:
            client.post(f"/v1/device-requests/{request}/cancel")
        run_out(database, request)
        if not asked_before:
            client.post(f"/v1/device-requests/{request}/cancel")
    assert claim(client, board) is None
    assert [read(client, request)["state"] for request in (first, second)] == ["cancelled", "cancelled"]


def test_what_was_to_be_cancelled_ends_though_no_agent_ever_comes_back(
    client: TestClient, database: Database, board: str
) -> None:
    client.post("/v1/devices", json={"name": "second"})
    cancelled, waits = ask(client, board)["id"], ask(client, "second")["id"]
    claimed(client, board)
    claimed(client, "second")
    client.post(f"/v1/device-requests/{cancelled}/cancel")
    with database.write() as session:
        sweep(session)
    assert read(client, cancelled)["state"] == "running"  # its agent may still be told
    for request in (cancelled, waits):
        run_out(database, request)
    with database.write() as session:
        sweep(session)
    assert [read(client, request)["state"] for request in (cancelled, waits)] == ["cancelled", "running"]
    assert read(client, cancelled)["finished_at"] is not None


def test_a_failure_keeps_what_the_agent_says(client: TestClient, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    for _ in range(2):  # the answer to the first may be lost
        answer = tell(client, request, "fail", {**held, "detail": "onnxruntime is not installed"})
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert read(client, request)["error"]["detail"] == "onnxruntime is not installed"
