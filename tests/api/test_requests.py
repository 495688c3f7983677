"""Requests to devices: what is asked is right, one is done at a time, and only the newest claim may answer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.artifacts.store import ArtifactStore
from api.db.session import Database, db_now
from api.jobs import lease as jobs_lease
from api.requests.models import DeviceRequest
from api.settings import Settings
from tests.api.making import CSV, a_table_csv, an_architecture, row_counts, stored

Json = dict[str, Any]
PROFILE = {"kind": "profile", "space": "fbnet-mini"}
WRITES: list[tuple[str, Json]] = [
    ("heartbeat", {}), ("finish", {"result": {}}), ("fail", {"detail": "x"}), ("release", {}),
]  # fmt: skip


@pytest.fixture
def board(client: TestClient) -> str:
    """A device without tables."""
    assert client.post("/v1/devices", json={"name": "board"}).status_code == 201
    return "board"


@pytest.fixture
def table(client: TestClient, device: str) -> str:
    """The table of the device `cpu`."""
    (found,) = client.get(f"/v1/devices/{device}/tables").json()["items"]
    return str(found["id"])


@pytest.fixture
def architecture(client: TestClient, database: Database, settings: Settings, job: str) -> str:
    """What a job gave, with a model."""
    return derived(client, database, settings, job, "model.onnx")


def derived(client: TestClient, database: Database, settings: Settings, job: str, file: str) -> str:
    with database.write() as session:
        lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        files = [stored(ArtifactStore(settings.artifacts), lease, file)]
        jobs_lease.succeed(session, lease, architecture=an_architecture(), artifacts=files)
    return str(client.get(f"/v1/search-jobs/{job}").json()["architecture"])


def ask(client: httpx.Client, device: str, body: Json = PROFILE) -> Json:
    answer = client.post(f"/v1/devices/{device}/requests", json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    assert answer.headers["location"] == f"/v1/device-requests/{made['id']}"
    return made


def claim(client: httpx.Client, device: str, agent: str = "a") -> Json | None:
    answer = client.post(f"/v1/devices/{device}/requests/claim", json={"agent": agent})
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else None


def claimed(client: httpx.Client, device: str, agent: str = "a") -> tuple[str, Json]:
    """Id of the request, and what its agent has to show."""
    found = claim(client, device, agent)
    assert found is not None
    return found["request"]["id"], {"agent": agent, "attempt": found["lease"]["attempt"]}


def tell(client: httpx.Client, request: str, what: str, body: Json) -> httpx.Response:
    return client.post(f"/v1/device-requests/{request}/{what}", json=body)


def read(client: httpx.Client, request: str) -> Json:
    found: Json = client.get(f"/v1/device-requests/{request}").json()
    return found


def run_out(database: Database, request: str) -> None:
    """Moves the stored end of the lease into the past."""
    with database.write() as session:
        past = db_now(session) - 1
        session.execute(update(DeviceRequest).where(DeviceRequest.id == request).values(lease_expires_us=past))


# --- asking


def test_a_request_is_queued_as_it_was_asked(client: TestClient, board: str) -> None:
    made = ask(client, board, {**PROFILE, "precision": ["fp32", "w8a8"], "threads": 2, "note": "on the shelf"})
    assert (made["state"], made["device"], made["kind"], made["attempt"]) == ("queued", "board", "profile", 0)
    assert made["spec"] == {
        "kind": "profile", "space": "fbnet-mini", "precision": ["fp32", "w8a8"], "width": None, "threads": 2, "seed": 0,
        "note": "on the shelf", "runtime": "onnxruntime",
    }  # fmt: skip
    assert read(client, made["id"]) == made


REFUSED: dict[str, tuple[Json, str]] = {
    "no kind": ({"space": "fbnet-mini"}, "kind"),
    "an unknown kind": ({"kind": "reboot"}, "kind"),
    "no space": ({"kind": "profile"}, "space"),
    "an unknown space": ({"kind": "profile", "space": "nothing"}, "space"),
    "a precision that is none": ({**PROFILE, "precision": ["int8"]}, "precision"),
    "a width that is none": ({**PROFILE, "width": [2.0]}, "width"),
    "no thread": ({**PROFILE, "threads": 0}, "threads"),
    "a negative seed": ({**PROFILE, "seed": -1}, "seed"),
    "a note of two lines": ({**PROFILE, "note": "a\nb"}, "note"),
    "a field of another kind": ({**PROFILE, "networks": 3}, "networks"),
    "an unknown table": ({"kind": "calibrate", "table": "tbl_none", "space": "fbnet-mini"}, "table"),
    "an unknown space of a table": ({"kind": "calibrate", "table": "MINE", "space": "nothing"}, "space"),
    "a table of another device": ({"kind": "calibrate", "table": "OTHER", "space": "fbnet-mini"}, "table"),
    "a table that lacks the space": ({"kind": "calibrate", "table": "MINE", "space": "fbnet"}, "table"),
    "a table that lacks a precision": (
        {"kind": "calibrate", "table": "MINE", "space": "fbnet-mini", "precision": ["w8a8"]},
        "table",
    ),
    "a table of another batch": ({"kind": "calibrate", "table": "BATCH", "space": "fbnet-mini"}, "table"),
    "no network": ({"kind": "calibrate", "table": "MINE", "space": "fbnet-mini", "networks": 0}, "networks"),
    "an unknown architecture": ({"kind": "verify", "architecture": "arc_none"}, "architecture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_agent_could_do_is_refused_by_field(
    client: TestClient, database: Database, device: str, table: str, board: str, name: str
) -> None:
    body, field = REFUSED[name]
    other = client.post("/v1/devices/board/tables", content=a_table_csv(device="board"), headers=CSV).json()["id"]
    batch_8 = a_table_csv().replace("# batch: 1", "# batch: 8")
    of_batch_8 = client.post("/v1/devices/cpu/tables", content=batch_8, headers=CSV).json()["id"]
    named = {"MINE": table, "OTHER": other, "BATCH": of_batch_8}
    before = row_counts(database)
    body = {key: named.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    answer = client.post(f"/v1/devices/{device}/requests", json=body)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]], answer.text
    assert row_counts(database) == before


def test_an_architecture_without_a_model_cannot_be_verified(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    bare = derived(client, database, settings, job, "report.json")
    answer = client.post("/v1/devices/cpu/requests", json={"kind": "verify", "architecture": bare})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "architecture")


def test_an_unknown_device_is_not_found(client: TestClient) -> None:
    for answer in (
        client.post("/v1/devices/nowhere/requests", json=PROFILE),
        client.get("/v1/devices/nowhere/requests"),
        client.post("/v1/devices/nowhere/requests/claim", json={"agent": "a"}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:lutnas:problem:unknown-device")


def test_the_same_key_gives_the_same_request_and_another_body_is_refused(client: TestClient, board: str) -> None:
    client.post("/v1/devices", json={"name": "second"})
    headers = {"Idempotency-Key": "once"}
    path = f"/v1/devices/{board}/requests"
    first, again = (client.post(path, json=PROFILE, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    for where, body in ((path, {**PROFILE, "seed": 1}), ("/v1/devices/second/requests", PROFILE)):
        other = client.post(where, json=body, headers=headers)
        assert (other.status_code, other.json()["type"]) == (409, "urn:lutnas:problem:idempotency-key-reused")


def test_many_that_ask_at_once_with_one_key_get_one_request(client: TestClient, board: str) -> None:
    def post(_: int) -> str:
        answer = client.post(f"/v1/devices/{board}/requests", json=PROFILE, headers={"Idempotency-Key": "k"})
        return str(answer.json()["id"])

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(post, range(6)))) == 1


def test_requests_are_listed_newest_first_in_pages(client: TestClient, board: str) -> None:
    client.post("/v1/devices", json={"name": "second"})
    made = [ask(client, board)["id"] for _ in range(5)]
    ask(client, "second")
    first = client.get(f"/v1/devices/{board}/requests?limit=3").json()
    second = client.get(f"/v1/devices/{board}/requests?limit=3&cursor={first['next_cursor']}").json()
    assert [one["id"] for one in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def test_another_owner_sees_nothing(client: TestClient, board: str, stranger: httpx.Headers) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    answers = [
        client.post(f"/v1/devices/{board}/requests", json=PROFILE, headers=stranger),
        client.get(f"/v1/devices/{board}/requests", headers=stranger),
        client.post(f"/v1/devices/{board}/requests/claim", json={"agent": "a"}, headers=stranger),
        client.get(f"/v1/device-requests/{request}", headers=stranger),
        *(
            client.post(f"/v1/device-requests/{request}/{what}", json={**held, **more}, headers=stranger)
            for what, more in (
                ("heartbeat", {}),
                ("finish", {"result": {}}),
                ("fail", {"detail": "x"}),
                ("release", {}),
            )
        ),
        client.post(f"/v1/device-requests/{request}/cancel", headers=stranger),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert read(client, request)["state"] == "running"


# --- one at a time, in order


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


# --- the lease


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


# --- the end


def test_cancel_is_seen_at_the_next_heartbeat(client: TestClient, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    assert client.post(f"/v1/device-requests/{request}/cancel").json()["asked"] == "cancel"
    assert tell(client, request, "heartbeat", held).json() == {"order": "cancel"}
    ended = tell(client, request, "release", held).json()
    assert (ended["state"], ended["asked"]) == ("cancelled", None)
    assert claim(client, board) is None


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


def test_a_failure_keeps_what_the_agent_says(client: TestClient, board: str) -> None:
    ask(client, board)
    request, held = claimed(client, board)
    for _ in range(2):  # the answer to the first may be lost
        answer = tell(client, request, "fail", {**held, "detail": "onnxruntime is not installed"})
        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert read(client, request)["error"]["detail"] == "onnxruntime is not installed"


def test_each_kind_ends_with_what_came_of_it(client: TestClient, device: str, table: str, architecture: str) -> None:
    drawn = client.get("/v1/spaces/fbnet-mini/architectures?count=2").json()["architectures"]
    networks = [{"layers": one["layers"], "latency_us": 100.0} for one in drawn]
    measured = {"device": device, "runtime": "onnxruntime", "threads": 1, "batch": 1, "latency_us": 123.5}
    client.post(f"/v1/tables/{table}/measurements", json={"space": "fbnet-mini", "networks": networks})
    client.post(f"/v1/architectures/{architecture}/measurements", json=measured)
    ends: list[tuple[Json, Json]] = [
        (PROFILE, {"table": table}),
        ({"kind": "calibrate", "table": table, "space": "fbnet-mini"}, {"table": table, "networks": 2}),
        ({"kind": "verify", "architecture": architecture}, {"architecture": architecture, "latency_us": 123.5}),
    ]
    for body, result in ends:
        ask(client, device, body)
        request, held = claimed(client, device)
        for _ in range(2):  # the answer to the first may be lost
            answer = tell(client, request, "finish", {**held, "result": result})
            assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), answer.text
        found = read(client, request)
        assert {name: value for name, value in found["result"].items() if value is not None} == result
        assert found["finished_at"] is not None


@pytest.mark.parametrize(
    ("body", "result", "field"),
    [
        (PROFILE, {}, "result.table"),
        (PROFILE, {"table": "tbl_none"}, "result.table"),
        (PROFILE, {"table": "OTHER"}, "result.table"),
        (PROFILE, {"table": "MINE", "networks": 2}, "result.networks"),
        ({"kind": "calibrate", "table": "MINE", "space": "fbnet-mini"}, {"table": "MINE"}, "result.networks"),
        (
            {"kind": "calibrate", "table": "MINE", "space": "fbnet-mini"},
            {"table": "MINE", "networks": 1},
            "result.networks",
        ),
        (
            {"kind": "verify", "architecture": "ARC"},
            {"architecture": "arc_none", "latency_us": 1},
            "result.architecture",
        ),
        ({"kind": "verify", "architecture": "ARC"}, {"architecture": "ARC", "latency_us": 1}, "result.latency_us"),
    ],
)
def test_a_result_that_is_not_there_or_not_of_the_device_is_refused(
    client: TestClient, device: str, table: str, board: str, architecture: str, body: Json, result: Json, field: str
) -> None:
    other = client.post("/v1/devices/board/tables", content=a_table_csv(device="board"), headers=CSV).json()["id"]
    named = {"MINE": table, "OTHER": other, "ARC": architecture}
    body, result = ({k: named.get(str(v), v) for k, v in document.items()} for document in (body, result))
    ask(client, device, body)
    request, held = claimed(client, device)
    answer = tell(client, request, "finish", {**held, "result": result})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutnas:problem:result-refused")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert read(client, request)["state"] == "running"


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
