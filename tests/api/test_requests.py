"""Requests to devices: what is asked and what is answered is right."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import httpx
import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.idempotency import body_hash
from api.requests.models import DeviceRequest
from api.settings import Settings
from latency.operator import Operator
from search.space import preset
from tests.api.making import CSV, a_table_csv, row_counts
from tests.api.requesting import PROFILE, Json, ask, claimed, derived, read, tell


@pytest.fixture
def architecture(client: TestClient, database: Database, settings: Settings, job: str) -> str:
    """What a job gave, with a model."""
    return derived(client, database, settings, job, "model.onnx")


def test_a_request_is_queued_as_it_was_asked(client: TestClient, board: str) -> None:
    made = ask(client, board, {**PROFILE, "precision": ["fp32", "w8a8"], "threads": 2, "note": "on the shelf"})
    assert (made["state"], made["device"], made["kind"], made["attempt"]) == ("queued", "board", "profile", 0)
    assert made["spec"] == {
        "kind": "profile", "space": "fbnet-mini", "precision": ["fp32", "w8a8"], "width": None, "threads": 2, "seed": 0,
        "note": "on the shelf", "runtime": "onnxruntime",
    }  # fmt: skip
    assert read(client, made["id"]) == made


STEM = asdict(Operator("stem", 8, 8, 1, 0, 8, 1, 3))
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
    "nothing to time": ({"kind": "time", "table": "MINE", "operators": []}, "operators"),
    "an operator that is none": ({"kind": "time", "table": "MINE", "operators": [{**STEM, "stride": 0}]}, "operators"),
    "a network by another's table": ({"kind": "time", "table": "OTHER", "operators": [STEM]}, "table"),
    "a network by a table of another batch": ({"kind": "time", "table": "BATCH", "operators": [STEM]}, "table"),
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


def test_a_key_of_before_an_upgrade_that_added_a_field_still_answers_its_request_alone(
    client: TestClient, database: Database, board: str
) -> None:
    headers, path = {"Idempotency-Key": "once"}, f"/v1/devices/{board}/requests"
    first = client.post(path, json=PROFILE, headers=headers).json()["id"]
    with database.write() as session:
        row = session.get_one(DeviceRequest, first)
        row.spec = {name: value for name, value in row.spec.items() if name != "seed"}
        row.idempotency_hash = body_hash([row.device_id, row.spec])
    assert client.post(path, json=PROFILE, headers=headers).json()["id"] == first
    assert client.post(path, json={**PROFILE, "seed": 1}, headers=headers).status_code == 409


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
        ({"kind": "time", "table": table, "operators": [STEM]}, {"table": table, "latency_us": 12.5}),
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
        ({"kind": "time", "table": "MINE", "operators": [STEM]}, {"table": "MINE"}, "result.latency_us"),
        ({"kind": "time", "table": "MINE", "operators": [STEM]}, {"table": "OTHER", "latency_us": 1}, "result.table"),
        ({"kind": "time", "table": "MINE", "operators": [STEM]}, {"latency_us": 1}, "result.table"),
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


def test_a_calibration_with_more_networks_than_one_answer_holds_is_refused_at_once(
    client: TestClient, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = client.post(f"/v1/devices/{board}/tables", content=a_table_csv(device=board), headers=CSV)
    monkeypatch.setattr("api.spaces.service.MOST_DRAWN_LAYERS", 5 * len(preset("fbnet-mini").layers))
    body = {"kind": "calibrate", "table": sent.json()["id"], "space": "fbnet-mini"}
    answer = client.post(f"/v1/devices/{board}/requests", json={**body, "networks": 6})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "networks")
    ask(client, board, {**body, "networks": 5})


def test_a_device_is_asked_so_much_and_no_more_until_something_ends(
    client: TestClient, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.requests.service.MOST_OPEN", 2)
    first, _ = ask(client, board), ask(client, board)
    answer = client.post(f"/v1/devices/{board}/requests", json=PROFILE)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:too-many-device-requests")
    client.post(f"/v1/device-requests/{first['id']}/cancel").raise_for_status()
    ask(client, board)
