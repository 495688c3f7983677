"""Tokens: nobody makes one that may do more, a team's reach its members. Those of devices: test_device_tokens.py."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from api.app import create_app
from api.auth.callers import Caller, Owner
from api.auth.errors import TooManyRequests
from api.auth.known import KnownCallers
from api.auth.models import Token
from api.auth.rates import Rates
from api.auth.service import ensure_token, make_token
from api.auth.uses import EVERY
from api.db.session import Database
from api.settings import Settings
from search.space import preset
from tests.api.making import CSV, Json, a_job, a_table_csv, a_token, submit
from tests.e2e.conftest import until


def refused(client: TestClient, by: httpx.Headers, **body: Any) -> Json:
    answer = client.post("/v1/tokens", json={"name": "more", "scopes": ["read"], **body}, headers=by)
    assert answer.status_code == 403, answer.text
    found: Json = answer.json()
    return found


def test_the_secret_is_shown_once_and_kept_as_its_hash_alone(client: TestClient, database: Database) -> None:
    document, shown = a_token(client, "read", "submit")
    assert document["id"].startswith("tok_")
    assert document["id"] not in document["secret"]
    told = client.get("/v1/tokens/self", headers=shown).json()
    listed = {one["id"]: one for one in client.get("/v1/tokens").json()["items"]}
    seen = ("id", "owner", "name", "scopes", "teams", "device", "made_by")
    assert {n: told[n] for n in seen} == {n: listed[told["id"]][n] for n in seen} == {n: document[n] for n in seen}
    assert "secret" not in listed[told["id"]]
    with database.read() as session:
        rows = [str(vars(row)) for row in session.scalars(select(Token))]
    assert document["secret"] not in "".join(rows)


def test_nobody_makes_a_token_that_may_do_more_than_their_own(client: TestClient) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, by = a_token(client, "read", "profile", teams=["cam"], expires_at=soon.isoformat())
    assert refused(client, by, scopes=["read", "submit"])["missing_scopes"] == ["submit"]
    assert refused(client, by, owner="stranger")["missing_scopes"] == ["admin"]
    assert "lab" in refused(client, by, teams=["cam", "lab"])["detail"]
    assert "outlives" in refused(client, by, expires_at=(soon + timedelta(minutes=1)).isoformat())["detail"]
    document, _ = a_token(client, "read", by=by, teams=["cam"])
    assert (document["teams"], document["made_by"]) == (["cam"], client.get("/v1/tokens/self", headers=by).json()["id"])
    assert datetime.fromisoformat(document["expires_at"]) == soon


def test_an_admin_makes_tokens_of_other_owners(client: TestClient, device: str) -> None:
    document, shown = a_token(client, "read", owner="alice")
    assert document["owner"] == "alice"
    assert client.get(f"/v1/devices/{device}", headers=shown).status_code == 404
    assert [one["id"] for one in client.get("/v1/tokens", headers=shown).json()["items"]] == [document["id"]]


@pytest.mark.parametrize(
    "body", [{"scopes": []}, {"scopes": ["write"]}, {"expires_at": "2030-01-01T00:00:00"}, {"owner": "A B"},
             {"expires_at": "0001-01-01T00:00:00+14:00"}, {"expires_at": "9999-12-31T23:00:00-14:00"},
             {"scopes": ["read"], "device": "cpu"}, {"scopes": ["profile"], "device": "cpu", "teams": ["cam"]}],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_refused(client: TestClient, device: str, body: Json) -> None:
    answer = client.post("/v1/tokens", json={"name": "x", "scopes": ["read"], **body})
    assert answer.status_code == 422, answer.text


def test_a_revoked_token_opens_nothing_and_revoking_is_not_above_ones_own(client: TestClient) -> None:
    strong, _ = a_token(client, "read", "submit")
    weak, by = a_token(client, "read")
    other, _ = a_token(client, "read")
    assert client.delete(f"/v1/tokens/{strong['id']}", headers=by).status_code == 403
    assert client.delete(f"/v1/tokens/{other['id']}", headers=by).status_code == 204
    assert [client.delete(f"/v1/tokens/{weak['id']}").status_code for _ in range(2)] == [204, 204]
    answer = client.get("/v1/tokens/self", headers=by)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:lutnas:problem:token-revoked")


def test_a_token_is_revoked_with_those_it_made_where_that_is_asked(client: TestClient) -> None:
    parent, by = a_token(client, "read", "submit")
    child, by_child = a_token(client, "read", by=by)
    grandchild, by_grandchild = a_token(client, "read", by=by_child)
    _, by_other = a_token(client, "read")
    assert client.delete(f"/v1/tokens/{parent['id']}").status_code == 204
    assert _opens(client, by, by_child, by_grandchild, by_other) == [False, True, True, True]
    assert client.delete(f"/v1/tokens/{parent['id']}?with_made=true", headers=by_other).status_code == 403
    assert _opens(client, by_child, by_grandchild) == [True, True]
    assert client.delete(f"/v1/tokens/{parent['id']}?with_made=true").status_code == 204
    assert _opens(client, by, by_child, by_grandchild, by_other) == [False, False, False, True]
    told = [one["object_id"] for one in client.get("/v1/audit").json()["items"][:3]]
    assert set(told) == {parent["id"], child["id"], grandchild["id"]}
    first = client.get("/v1/tokens").json()["items"]
    assert client.delete(f"/v1/tokens/{child['id']}?with_made=true").status_code == 204
    assert client.get("/v1/tokens").json()["items"] == first  # when they were taken back stands


def _opens(client: TestClient, *headers: httpx.Headers) -> list[bool]:
    return [client.get("/v1/tokens/self", headers=one).status_code == 200 for one in headers]


@contextmanager
def _remembered(settings: Settings, database: Database) -> Iterator[tuple[TestClient, str]]:
    """A client whose token, of that id, this process remembers."""
    with database.write() as session:
        secret = make_token(session, owner="main", name="here", scopes=["admin"])
    remembering = create_app(settings.model_copy(update={"known_token_seconds": 60.0}))
    with TestClient(remembering, headers={"Authorization": f"Bearer {secret}"}) as client:
        for _ in range(2):  # the first one notes its use, the second is remembered
            own = client.get("/v1/tokens/self").json()["id"]
        yield client, own


def test_a_token_that_was_revoked_a_moment_ago_makes_none(settings: Settings, database: Database) -> None:
    with _remembered(settings, database) as (client, own):
        with database.write() as session:  # as another process does
            session.execute(update(Token).where(Token.id == own).values(revoked_at=datetime.now(UTC)))
        answer = client.post("/v1/tokens", json={"name": "x", "scopes": ["read"]})
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:lutnas:problem:token-revoked")


def test_the_token_of_the_home_once_revoked_is_not_taken_up_again(
    client: TestClient, settings: Settings, database: Database
) -> None:
    own = client.get("/v1/tokens/self").json()["id"]
    assert client.delete(f"/v1/tokens/{own}").status_code == 204
    with pytest.raises(ValueError, match="was revoked: delete the file"):
        ensure_token(settings, database)


def test_the_last_use_is_noted_rarely(client: TestClient, database: Database) -> None:
    document, by = a_token(client, "read")
    assert document["last_used_at"] is None
    client.get("/v1/devices", headers=by)
    first = client.get("/v1/tokens/self", headers=by).json()["last_used_at"]
    client.get("/v1/devices", headers=by)
    assert client.get("/v1/tokens/self", headers=by).json()["last_used_at"] == first is not None
    old = datetime.fromisoformat(first) - EVERY
    with database.write() as session:
        session.execute(update(Token).where(Token.id == document["id"]).values(last_used_at=old))
    client.get("/v1/devices", headers=by)
    assert client.get("/v1/tokens/self", headers=by).json()["last_used_at"] > first


# --- teams


def test_what_a_team_has_is_seen_by_its_members_and_by_nobody_else(client: TestClient, stranger: httpx.Headers) -> None:
    _, alice = a_token(client, "read", "submit", "profile", owner="alice", teams=["cam"])
    _, bob = a_token(client, "read", "submit", owner="bob", teams=["cam"])
    team = httpx.Headers({**alice, "X-Lutnas-Team": "cam"})
    assert client.post("/v1/devices", json={"name": "cpu"}, headers=team).json()["owner"] == "cam"
    headers = {**alice, **CSV}
    answer = client.post("/v1/devices/cpu/tables", content=a_table_csv(), headers=headers)  # of the team, as its device
    assert answer.status_code == 201, answer.text
    answer = client.post("/v1/search-jobs", json=a_job(), headers=alice)  # alice has no such device
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutnas:problem:unknown-device")
    assert "the team cam has one; submit for that team" in answer.json()["detail"]
    job = client.post("/v1/search-jobs", json=a_job(), headers=team).json()
    assert job["owner"] == "cam"
    for member in (alice, bob):
        assert [one["id"] for one in client.get("/v1/search-jobs", headers=member).json()["items"]] == [job["id"]]
    assert client.post(f"/v1/search-jobs/{job['id']}/cancel", headers=bob).json()["state"] == "cancelled"
    for other in (stranger, None):
        assert client.get(f"/v1/search-jobs/{job['id']}", headers=other).status_code == 404
    answer = client.get("/v1/devices", headers={**bob, "X-Lutnas-Team": "lab"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:lutnas:problem:forbidden")


def test_what_is_asked_about_a_teams_table_is_about_the_teams_spaces(client: TestClient) -> None:
    _, alice = a_token(client, "read", "submit", "profile", owner="alice", teams=["cam"])
    team = httpx.Headers({**alice, "X-Lutnas-Team": "cam"})
    client.post("/v1/devices", json={"name": "cpu"}, headers=team)
    table = client.post("/v1/devices/cpu/tables", content=a_table_csv(), headers={**alice, **CSV}).json()["id"]
    own = preset("fbnet-mini").model_copy(update={"name": "mine"})
    assert client.post("/v1/spaces", json=own.model_dump(mode="json"), headers=alice).status_code == 201
    ask = [f"/v1/tables/{table}/coverage?space=mine", f"/v1/tables/{table}/heatmap?space=mine",
           f"/v1/spaces/mine/architectures?table={table}", "/v1/spaces/mine/operators?device=cpu"]  # fmt: skip
    assert [client.get(path, headers=alice).status_code for path in ask] == [404] * 4
    assert client.get("/v1/spaces/mine/architectures", headers=alice).status_code == 200
    assert client.get("/v1/spaces/mine/operators", headers=alice).status_code == 200
    assert client.post("/v1/spaces", json=own.model_dump(mode="json"), headers=team).status_code == 201
    assert [client.get(path, headers=alice).status_code for path in ask] == [200] * 4
    nowhere = client.get("/v1/spaces/mine/operators?device=gpu", headers=alice)
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "urn:lutnas:problem:unknown-device")


def test_a_name_that_several_owners_use_is_the_nearest_ones_and_listed_once(client: TestClient) -> None:
    _, alice = a_token(client, "read", "submit", "profile", owner="alice", teams=["cam"])
    team = httpx.Headers({**alice, "X-Lutnas-Team": "cam"})
    document = {**preset("fbnet-mini").model_dump(mode="json"), "name": "aaa"}
    for headers, classes in ((team, 3), (alice, 4)):
        client.post("/v1/spaces", json={**document, "classes": classes}, headers=headers).raise_for_status()
        client.post("/v1/devices", json={"name": "cpu"}, headers=headers).raise_for_status()
    client.post("/v1/spaces", json={**document, "name": "aab"}, headers=team).raise_for_status()
    assert client.get("/v1/spaces/aaa", headers=alice).json()["classes"] == 4
    assert client.get("/v1/spaces/aaa", headers=team).json()["classes"] == 3
    assert client.get("/v1/devices/cpu", headers=alice).json()["owner"] == "alice"
    page = client.get("/v1/spaces?limit=1", headers=alice).json()
    more = client.get(f"/v1/spaces?limit=1&cursor={page['next_cursor']}", headers=alice).json()
    assert [page["items"][0]["name"], more["items"][0]["name"]] == ["aaa", "aab"]


def test_an_open_stream_ends_once_its_token_is_taken_back(
    client: TestClient, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.jobs.routes.PING_SECONDS", 0.1)
    made = client.post("/v1/tokens", json={"name": "reader", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['secret']}", "Accept": "text/event-stream"}
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(client.get, f"/v1/search-jobs/{job}/events", headers=headers)
        until(lambda: client.app.state.service.tailer.readers == 1)  # type: ignore[attr-defined]
        client.delete(f"/v1/tokens/{made['id']}").raise_for_status()
        answer = stream.result(timeout=30)
    assert answer.status_code == 200
    assert '"state":"queued"' in answer.text.replace(" ", "")


# --- limits


def test_a_process_serves_so_many_streams_of_events(settings: Settings, token: str, device: str) -> None:
    few = settings.model_copy(update={"max_event_streams": 1})
    app = create_app(few)
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        path, live = f"/v1/search-jobs/{submit(client)}", {"Accept": "text/event-stream"}
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.get, f"{path}/events", headers=live)
            until(lambda: app.state.service.tailer.readers == 1)
            refused = client.get(f"{path}/events", headers=live)
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:lutnas:problem:too-many-streams")
            assert int(refused.headers["Retry-After"]) > 0
            assert client.get(f"{path}/events").status_code == 200
            client.post(f"{path}/cancel").raise_for_status()
            assert first.result(timeout=30).status_code == 200
        assert client.get(f"{path}/events", headers=live).status_code == 200


def test_an_owner_may_have_so_many_jobs_that_are_not_at_their_end(settings: Settings, token: str, device: str) -> None:
    from api.app import create_app

    few = settings.model_copy(update={"max_open_jobs": 2})
    with TestClient(create_app(few), headers={"Authorization": f"Bearer {token}"}) as client:
        first, _ = submit(client), submit(client)
        answer = client.post("/v1/search-jobs", json=a_job())
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:too-many-jobs")
        client.post(f"/v1/search-jobs/{first}/cancel").raise_for_status()
        submit(client)


def test_an_owner_that_asks_too_often_is_429_by_every_token_and_others_are_not(
    settings: Settings, token: str, stranger: httpx.Headers
) -> None:
    from api.app import create_app

    slow = settings.model_copy(update={"requests_per_minute": 3})
    with TestClient(create_app(slow), headers={"Authorization": f"Bearer {token}"}) as client:
        another = client.post("/v1/tokens", json={"name": "another", "scopes": ["read"]}).json()["secret"]
        own = {"Authorization": f"Bearer {another}"}
        answers = [client.get("/v1/devices", headers=headers) for headers in (None, own, own, None)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert answers[3].json()["type"] == "urn:lutnas:problem:too-many-requests"
        assert answers[3].headers["retry-after"] == str(answers[3].json()["retry_after_seconds"])
        assert client.get("/v1/devices", headers=stranger).status_code == 200


def test_tries_come_back_evenly_with_time() -> None:
    now = 0.0
    rates = Rates(60, clock=lambda: now)
    for _ in range(60):
        rates.take("a")
    with pytest.raises(TooManyRequests) as caught:
        rates.take("a")
    assert caught.value.extensions == {"retry_after_seconds": 1}
    now = 2.0
    rates.take("a")
    rates.take("a")
    with pytest.raises(TooManyRequests):
        rates.take("a")
    now = 1e6  # a bucket holds a minute's tries, however long nobody asked
    for _ in range(60):
        rates.take("a")
    with pytest.raises(TooManyRequests):
        rates.take("a")


def test_a_remembered_token_is_refused_as_soon_as_this_process_revoked_it(
    settings: Settings, database: Database
) -> None:
    with _remembered(settings, database) as (client, own):
        assert client.delete(f"/v1/tokens/{own}").status_code == 204
        assert client.get("/v1/tokens/self").json()["type"] == "urn:lutnas:problem:token-revoked"


def test_tokens_are_remembered_for_seconds_and_never_beyond_their_end() -> None:
    ends, now = datetime(2026, 1, 1, tzinfo=UTC), [0.0]
    caller = Caller("tok_1", "test", "main", (), ("read",), ends, None, Owner("main"))
    known = KnownCallers(2.0, clock=lambda: now[0])
    known.keep("hash", caller, known.forgotten)
    assert known.find("hash", ends - timedelta(seconds=1)) == caller
    assert known.find("hash", ends) is None
    assert known.find("another", ends) is None
    now[0] = 2.0
    assert known.find("hash", ends - timedelta(seconds=1)) is None
    never = KnownCallers(0.0)
    never.keep("hash", caller, never.forgotten)
    assert never.find("hash", ends - timedelta(seconds=1)) is None


def test_a_token_that_was_taken_back_while_the_database_was_asked_is_not_remembered() -> None:
    caller = Caller("tok_1", "test", "main", (), ("read",), None, None, Owner("main"))
    known = KnownCallers(2.0)
    before = known.forgotten
    known.forget(["tok_1"])
    known.keep("hash", caller, before)
    assert known.find("hash", datetime.now(UTC)) is None
