"""The trail of writes: in the write's own unit of work, with neither secrets nor bodies."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, event, select

from api.app import create_app
from api.audit.models import AuditEntry
from api.auth.service import make_token
from api.db.engine import READ_ONLY
from api.db.session import Database
from api.settings import Settings
from tests.api.making import a_job, row_counts, submit

Json = dict[str, Any]


def trail(client: TestClient) -> list[Json]:
    """All of it, oldest first, two a page."""
    found: list[Json] = []
    cursor: str | None = None
    while True:
        page = client.get("/v1/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found[::-1]


def told(client: TestClient) -> list[tuple[str, str, str | None, int]]:
    return [(one["method"], one["route"], one["object_id"], one["status"]) for one in trail(client)]


def test_each_write_leaves_who_what_and_which(client: TestClient, device: str) -> None:
    me = client.get("/v1/tokens/self").json()
    answer = client.post("/v1/search-jobs", json=a_job(), headers={"X-Request-Id": "mine-1"})
    job = answer.json()["id"]
    client.post(f"/v1/search-jobs/{job}/cancel").raise_for_status()
    made = client.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()
    client.delete(f"/v1/tokens/{made['id']}").raise_for_status()
    machine = client.get("/v1/devices/cpu").json()["id"]
    table = client.get("/v1/devices/cpu/tables").json()["items"][0]["id"]
    assert told(client) == [
        ("POST", "/v1/devices", machine, 201),
        ("POST", "/v1/devices/{device}/tables", table, 201),
        ("POST", "/v1/search-jobs", job, 201),
        ("POST", "/v1/search-jobs/{job_id}/cancel", job, 200),
        ("POST", "/v1/tokens", made["id"], 201),
        ("DELETE", "/v1/tokens/{token_id}", made["id"], 204),
    ]
    entries = trail(client)
    assert {(one["token_id"], one["owner"]) for one in entries} == {(me["id"], "main")}
    assert answer.headers["x-request-id"] == entries[2]["request_id"] == "mine-1"
    assert made["secret"] not in str(entries)


def test_what_changes_nothing_leaves_nothing(client: TestClient, database: Database, device: str) -> None:
    job = submit(client)
    asked = {"kind": "profile", "space": "fbnet-mini"}
    client.post(f"/v1/devices/{device}/requests", json=asked, headers={"Idempotency-Key": "k"}).raise_for_status()
    got = client.post(f"/v1/devices/{device}/requests/claim", json={"agent": "a"}).json()
    before = row_counts(database)["audit"]
    client.get(f"/v1/search-jobs/{job}").raise_for_status()
    client.post("/v1/search-jobs/validate", json=a_job()).raise_for_status()
    assert client.post("/v1/search-jobs", json=a_job(space="nothing")).status_code == 422
    assert client.post(f"/v1/devices/{device}/requests/claim", json={"agent": "b"}).status_code == 204
    again = client.post(f"/v1/devices/{device}/requests", json=asked, headers={"Idempotency-Key": "k"})
    assert again.status_code == 200
    beat = {"agent": "a", "attempt": 1}
    client.post(f"/v1/device-requests/{got['request']['id']}/heartbeat", json=beat).raise_for_status()
    assert client.post("/v1/devices", json={"name": "x"}, headers={"Authorization": "Bearer no"}).status_code == 401
    assert row_counts(database)["audit"] == before


def test_what_a_token_may_not_do_is_told_too(client: TestClient, database: Database, stranger: httpx.Headers) -> None:
    with database.write() as session:
        weak = {"Authorization": f"Bearer {make_token(session, owner='main', name='weak', scopes=['read'])}"}
    assert client.post("/v1/devices", json={"name": "x"}, headers=weak).status_code == 403
    assert client.post("/v1/search-jobs/job_none/cancel", headers=stranger).status_code == 404
    assert client.post(f"/v1/search-jobs/{'x' * 300}%00/cancel", headers=stranger).status_code == 422
    assert told(client) == [
        ("POST", "/v1/devices", None, 403),
        ("POST", "/v1/search-jobs/{job_id}/cancel", "job_none", 404),
    ]
    assert [one["owner"] for one in trail(client)] == ["main", "stranger"]


def test_a_write_that_was_undone_leaves_the_row_of_its_failure_alone(
    settings: Settings, token: str, database: Database
) -> None:
    """The unit of work breaks at its very end, after the row that tells of a success."""
    app, failed = create_app(settings), list[bool]()

    def fail_at_the_first_write(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not (failed or options.get(READ_ONLY) or options.get("postgresql_readonly")):
            failed.append(True)
            raise RuntimeError("the disk is full")

    with TestClient(app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False) as client:
        event.listen(app.state.service.database.engine, "commit", fail_at_the_first_write)
        answer = client.post("/v1/devices", json={"name": "x"})
        assert answer.status_code == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/v1/devices").json()["items"] == []
    with database.read() as session:
        assert [entry.status for entry in session.scalars(select(AuditEntry))] == [500]


def test_the_trail_is_asked_by_time_by_who_and_by_what(
    client: TestClient, database: Database, stranger: httpx.Headers, job: str
) -> None:
    me = client.get("/v1/tokens/self").json()["id"]
    client.post(f"/v1/search-jobs/{job}/pause").raise_for_status()
    client.post("/v1/devices", json={"name": "theirs"}, headers=stranger).raise_for_status()

    def asked(**params: str) -> list[str]:
        answer = client.get("/v1/audit", params=params)
        assert answer.status_code == 200, answer.text
        return [one["route"].rpartition("/")[2] for one in answer.json()["items"]]

    assert asked(actor="stranger") == ["devices"]
    assert asked(actor=me) == asked(actor="main") == ["pause", "search-jobs", "tables", "devices"]
    assert asked(object=job) == ["pause", "search-jobs"]
    assert asked(object=job, actor="stranger") == []
    paused_at = next(one["at"] for one in trail(client) if one["route"].endswith("/pause"))
    assert asked(since=paused_at) == ["devices", "pause"]
    assert asked(since="2100-01-01T00:00:00+01:00") == []
    for wrong in ("2026-11-24T10:00:00", "yesterday"):  # whose clock?
        assert client.get("/v1/audit", params={"since": wrong}).status_code == 422


def test_the_trail_is_for_admins(client: TestClient, database: Database) -> None:
    with database.write() as session:
        weak = make_token(session, owner="main", name="weak", scopes=["read", "submit", "profile"])
    answer = client.get("/v1/audit", headers={"Authorization": f"Bearer {weak}"})
    assert (answer.status_code, answer.json()["missing_scopes"]) == (403, ["admin"])


@pytest.mark.parametrize("given", ["a b", "x" * 65, "ä".encode(), ""])
def test_a_request_id_that_is_none_is_replaced(client: TestClient, database: Database, given: str | bytes) -> None:
    answer = client.post("/v1/devices", json={"name": "x"}, headers={"X-Request-Id": given})
    assert len(answer.headers["x-request-id"]) == 16
    with database.read() as session:
        assert session.scalars(select(AuditEntry.request_id)).all() == [answer.headers["x-request-id"]]
