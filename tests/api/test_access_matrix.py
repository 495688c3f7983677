"""Every route against tokens of every wrong kind. A route that has no row here fails the first test."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from api.auth.callers import SCOPES, Scope
from api.auth.models import Token
from api.auth.service import make_token
from api.db.session import Database
from api.settings import Settings
from search.space import preset
from tests.api.making import CSV, X, Y, a_job, a_table_csv, an_npz, one_of_each

OPEN = {("GET", "/healthz"), ("GET", "/readyz")}
SPACE = {**preset("fbnet-mini").model_dump(mode="json"), "name": "other"}
HOLDER = {"agent": "a", "attempt": 1}
LAYERS = [{"candidate": "k3_e1"}] * len(preset("fbnet-mini").layers)
NETWORK = {"layers": LAYERS, "latency_us": 100.0}
ANY: tuple[Scope, ...] = ()
READ: tuple[Scope, ...] = ("read",)
SUBMIT: tuple[Scope, ...] = ("submit",)
PROFILE: tuple[Scope, ...] = ("profile",)
EITHER: tuple[Scope, ...] = ("read", "profile")
ADMIN: tuple[Scope, ...] = ("admin",)


class Row(NamedTuple):
    """What a route needs, one of `scopes`, and what a good request to it sends."""

    scopes: tuple[Scope, ...]
    send: dict[str, Any] = {}  # noqa: RUF012 - never changed


MATRIX: dict[tuple[str, str], Row] = {
    ("GET", "/v1/tokens/self"): Row(ANY),
    ("POST", "/v1/tokens"): Row(ANY, {"json": {"name": "made", "scopes": ["read"]}}),
    ("GET", "/v1/tokens"): Row(READ),
    ("DELETE", "/v1/tokens/{token_id}"): Row(ANY),
    ("GET", "/v1/audit"): Row(ADMIN),
    ("POST", "/v1/webhooks"): Row(SUBMIT, {"json": {"url": "https://example.com/hook"}}),
    ("GET", "/v1/webhooks"): Row(READ),
    ("GET", "/v1/webhooks/{webhook_id}"): Row(READ),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): Row(READ),
    ("POST", "/v1/webhooks/{webhook_id}/ping"): Row(SUBMIT),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): Row(SUBMIT),
    ("DELETE", "/v1/webhooks/{webhook_id}"): Row(SUBMIT),
    ("GET", "/metrics"): Row(ADMIN),
    ("POST", "/v1/devices"): Row(PROFILE, {"json": {"name": "other"}}),
    ("GET", "/v1/devices"): Row(EITHER),
    ("GET", "/v1/devices/{device}"): Row(EITHER),
    ("POST", "/v1/devices/{device}/tables"): Row(PROFILE, {"content": a_table_csv(), "headers": CSV}),
    ("GET", "/v1/devices/{device}/tables"): Row(EITHER),
    ("GET", "/v1/tables/{table_id}"): Row(EITHER),
    ("GET", "/v1/tables/{table_id}/rows"): Row(EITHER),
    ("GET", "/v1/tables/{table_id}/coverage"): Row(EITHER, {"params": {"space": "fbnet-mini"}}),
    ("GET", "/v1/tables/{table_id}/heatmap"): Row(EITHER, {"params": {"space": "fbnet-mini"}}),
    ("GET", "/v1/tables/{table_id}/difference"): Row(EITHER, {"params": {"before": "{table_id}"}}),
    ("GET", "/v1/tables/{table_id}/file"): Row(EITHER),
    ("GET", "/v1/tables/{table_id}/measurements"): Row(EITHER),
    ("POST", "/v1/tables/{table_id}/measurements"): Row(
        PROFILE, {"json": {"space": "fbnet-mini", "threads": 1, "networks": [NETWORK]}}
    ),
    ("POST", "/v1/devices/{device}/requests"): Row(SUBMIT, {"json": {"kind": "profile", "space": "fbnet-mini"}}),
    ("GET", "/v1/devices/{device}/requests"): Row(EITHER),
    ("POST", "/v1/devices/{device}/requests/claim"): Row(PROFILE, {"json": {"agent": "a"}}),
    ("GET", "/v1/device-requests/{request_id}"): Row(EITHER),
    ("POST", "/v1/device-requests/{request_id}/heartbeat"): Row(PROFILE, {"json": HOLDER}),
    ("POST", "/v1/device-requests/{request_id}/cancel"): Row(SUBMIT),
    ("POST", "/v1/device-requests/{request_id}/finish"): Row(PROFILE, {"json": {**HOLDER, "result": {}}}),
    ("POST", "/v1/device-requests/{request_id}/fail"): Row(PROFILE, {"json": {**HOLDER, "detail": "x"}}),
    ("POST", "/v1/device-requests/{request_id}/release"): Row(PROFILE, {"json": HOLDER}),
    ("POST", "/v1/spaces"): Row(SUBMIT, {"json": SPACE}),
    ("GET", "/v1/spaces"): Row(EITHER),
    ("GET", "/v1/spaces/{name}"): Row(EITHER),
    ("GET", "/v1/spaces/{name}/operators"): Row(EITHER),
    ("GET", "/v1/spaces/{name}/architectures"): Row(EITHER),
    ("POST", "/v1/datasets"): Row(SUBMIT, {"data": {"name": "more"}, "files": {"file": an_npz(x=X, y=Y)}}),
    ("GET", "/v1/datasets"): Row(READ),
    ("GET", "/v1/datasets/{name}"): Row(READ),
    ("POST", "/v1/search-jobs"): Row(SUBMIT, {"json": a_job()}),
    ("POST", "/v1/search-jobs/validate"): Row(READ, {"json": a_job()}),
    ("GET", "/v1/search-jobs"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}"): Row(READ),
    ("POST", "/v1/search-jobs/{job_id}/cancel"): Row(SUBMIT),
    ("POST", "/v1/search-jobs/{job_id}/pause"): Row(SUBMIT),
    ("POST", "/v1/search-jobs/{job_id}/resume"): Row(SUBMIT),
    ("POST", "/v1/search-jobs/{job_id}/derive"): Row(READ, {"json": {"constraints": a_job()["constraints"]}}),
    ("POST", "/v1/search-jobs/{job_id}/reproduce"): Row(SUBMIT),
    ("POST", "/v1/search-jobs/{job_id}/extend"): Row(SUBMIT, {"json": {"finish_epochs": 2}}),
    ("POST", "/v1/search-jobs/{job_id}/clone"): Row(SUBMIT, {"json": {"seed": 1}}),
    ("GET", "/v1/search-jobs/{job_id}/reproduction"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/events"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/attempts"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/comparison"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/attempts/{number}/log"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/artifacts"): Row(READ),
    ("GET", "/v1/search-jobs/{job_id}/architecture"): Row(READ),
    ("GET", "/v1/architectures"): Row(READ),
    ("GET", "/v1/architectures/{architecture_id}"): Row(EITHER),
    ("POST", "/v1/architectures/{architecture_id}/measurements"): Row(
        PROFILE, {"json": {"device": "cpu", "latency_us": 10.0, "runtime": "onnxruntime", "threads": 1, "batch": 1}}
    ),
    ("GET", "/v1/architectures/{architecture_id}/artifacts/{name}"): Row(READ),
    ("GET", "/v1/artifacts/{artifact_id}"): Row(EITHER),
    ("GET", "/v1/artifacts/{artifact_id}/content"): Row(EITHER),
    ("HEAD", "/v1/artifacts/{artifact_id}/content"): Row(EITHER),
}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            assert context.path is not None
            for method in context.methods or ():
                yield method, context.path


class World:
    """A service with one of everything, and tokens of every kind."""

    def __init__(self, client: TestClient, database: Database, settings: Settings, job: str) -> None:
        self.client, self.database = client, database
        self.ids = one_of_each(client, database, settings.artifacts, job)

    def token(self, *scopes: Scope, owner: str = "main", **changes: Any) -> str:
        """A new token, its secret; `changes` are of its row."""
        with self.database.write() as session:
            secret = make_token(session, owner=owner, name=f"matrix {owner} {scopes} {changes}", scopes=scopes)
            if changes:
                named = update(Token).where(Token.name == f"matrix {owner} {scopes} {changes}")
                session.execute(named.values(**changes))
        return secret

    def ask(self, method: str, path: str, secret: str | None) -> httpx.Response:
        names = {**self.ids, "name": "model.onnx" if "architectures/{" in path else "mine"}
        send = dict(MATRIX[method, path].send)
        send["headers"] = {**send.get("headers", {}), "Authorization": f"Bearer {secret}" if secret else ""}
        send["params"] = {name: value.format_map(names) for name, value in send.get("params", {}).items()}
        return self.client.request(method, path.format_map(names), **send)


@pytest.fixture
def world(client: TestClient, database: Database, settings: Settings, job: str) -> World:
    return World(client, database, settings, job)


def problem(answer: httpx.Response) -> tuple[int, str]:
    if answer.request.method == "HEAD":
        return answer.status_code, ""
    return answer.status_code, answer.json()["type"].removeprefix("urn:lutnas:problem:")


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(routes(create_app())) - OPEN == set(MATRIX)


def test_the_description_says_which_scope_a_route_needs_and_what_others_are_answered() -> None:
    paths = create_app().openapi()["paths"]
    for (method, path), row in MATRIX.items():
        if method == "HEAD":
            continue
        operation = paths[path][method.lower()]
        told = [scope for one in operation["security"] for scope in one["HTTPBearer"]]
        assert told == list(row.scopes), path
        assert {"401", "403", "429"} <= set(operation["responses"]), path
        assert ("404" in operation["responses"]) == ("{" in path), path
        assert "x-lutnas-team" in [one["name"].lower() for one in operation["parameters"]], path
    assert "security" not in paths["/healthz"]["get"]


def test_no_token_an_unknown_or_a_revoked_one_is_401_on_every_route(world: World) -> None:
    _refused_everywhere(world, None, "unauthorized")
    _refused_everywhere(world, "lutnas_nobody-made-this-one", "unauthorized")
    _refused_everywhere(world, world.token("admin", revoked_at=datetime.now(UTC)), "token-revoked")


def test_a_token_whose_time_is_over_is_401_on_every_route(world: World) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    _refused_everywhere(world, world.token("admin", expires_at=past), "token-expired")


def _refused_everywhere(world: World, secret: str | None, slug: str) -> None:
    for method, path in MATRIX:
        answer = world.ask(method, path, secret)
        assert problem(answer) == (401, "" if method == "HEAD" else slug), (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_without_the_scope_is_403_and_told_which_one_is_missing(world: World) -> None:
    tokens = {scope: world.token(scope) for scope in SCOPES}
    for (method, path), row in MATRIX.items():
        for scope in set(SCOPES) - {"admin"} - set(row.scopes):
            if not row.scopes:
                continue
            answer = world.ask(method, path, tokens[scope])
            assert problem(answer) == (403, "" if method == "HEAD" else "forbidden"), (method, path, scope)
            if method != "HEAD":
                assert answer.json()["missing_scopes"] == list(row.scopes)
                assert row.scopes[0] in answer.json()["detail"]


def test_what_a_route_names_is_404_for_another_owner_whatever_their_scope(world: World) -> None:
    strangers = world.token("admin", owner="stranger")
    for method, path in MATRIX:
        if "{" in path and path != "/v1/tokens/{token_id}":  # an admin's are the tokens of all
            answer = world.ask(method, path, strangers)
            assert problem(answer)[0] == 404, (method, path)
    ordinary = world.token("read", "submit", "profile", owner="stranger")
    assert problem(world.ask("DELETE", "/v1/tokens/{token_id}", ordinary)) == (404, "unknown-token")


def test_any_scope_of_a_route_opens_it(world: World) -> None:
    """The control: with the same requests the tests above are refused for their token, and for nothing else."""
    tokens = {scope: world.token(scope) for scope in SCOPES}
    rows = sorted(
        MATRIX.items(), key=lambda row: re.search("finish|fail|release|cancel|DELETE", str(row[0])) is not None
    )
    for (method, path), row in rows:
        for scope in row.scopes or ("read",):
            answer = world.ask(method, path, tokens[scope])
            assert answer.status_code not in (401, 403, 500), (method, path, scope, answer.text)
            is_there = answer.status_code != 404 or problem(answer)[1] == "not-a-reproduction"
            assert is_there, (method, path, scope, answer.text)
