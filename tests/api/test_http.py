"""What holds for all routes: tokens, owners, problems, names that are taken."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from fastapi.testclient import TestClient

from api.auth.service import ensure_token
from api.db.session import Database
from api.settings import Settings
from api.spaces.models import SearchSpace
from search.space import preset
from tests.api.making import TOO_MANY, a_job

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}


def test_every_route_but_health_and_documentation_wants_a_token(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for method in methods:
            answer = client.request(method, path.format_map(Anything()), headers={"Authorization": "Bearer wrong"})
            if path in OPEN:
                assert answer.status_code == 200
            elif method == "get" or "requestBody" not in methods[method] or "multipart" in str(methods[method]):
                assert answer.status_code == 401, (method, path)
                assert answer.json()["type"] == "urn:lutnas:problem:unauthorized"
                assert answer.headers["www-authenticate"] == "Bearer"
    for path in OPEN:
        assert client.get(path, headers={"Authorization": ""}).status_code == 200


class Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


def test_an_upload_is_not_read_before_the_caller_is_known(client: TestClient) -> None:
    headers = {"Authorization": "Bearer wrong", "Content-Type": "text/csv"}
    assert client.post("/v1/devices/cpu/tables", content=b"x", headers=headers).status_code == 401
    assert (
        client.post("/v1/search-jobs", json=a_job(), headers=headers | {"Content-Type": "application/json"}).status_code
        == 401
    )


def test_what_another_owner_has_is_not_there(client: TestClient, stranger: httpx.Headers, job: str) -> None:
    table = client.get("/v1/devices/cpu/tables").json()["items"][0]["id"]
    client.post("/v1/spaces", json={**json.loads(preset("fbnet-mini").model_dump_json()), "name": "mine"})
    paths = [
        "/v1/devices/cpu", "/v1/devices/cpu/tables", f"/v1/tables/{table}", f"/v1/tables/{table}/rows",
        f"/v1/tables/{table}/file", f"/v1/tables/{table}/coverage?space=fbnet-mini", "/v1/spaces/mine",
        f"/v1/search-jobs/{job}", f"/v1/search-jobs/{job}/events", f"/v1/search-jobs/{job}/artifacts",
    ]  # fmt: skip
    for path in paths:
        assert client.get(path).status_code == 200, path
        assert client.get(path, headers=stranger).status_code == 404, path
    for action in ("cancel", "pause", "resume"):
        assert client.post(f"/v1/search-jobs/{job}/{action}", headers=stranger).status_code == 404
    for path in ("/v1/devices", "/v1/search-jobs", "/v1/architectures"):
        assert client.get(path, headers=stranger).json()["items"] == []
    assert (
        client.post("/v1/search-jobs", json=a_job(), headers=stranger).json()["errors"][0]["field"]
        == "constraints[0].device"
    )
    assert client.post("/v1/devices", json={"name": "cpu"}, headers=stranger).status_code == 201
    told = client.get("/v1/tokens/self", headers=stranger).json()
    assert (told["owner"], told["name"], told["scopes"]) == ("stranger", "test", ["admin"])


def test_every_kind_of_failure_is_a_problem(client: TestClient) -> None:
    for method, path, body, status in (
        ("GET", "/v1/nothing", None, 404),
        ("DELETE", "/v1/spaces", None, 405),
        ("POST", "/v1/devices", b"{", 422),
        ("POST", "/v1/devices", b'{"name": NaN}', 422),
        ("POST", "/v1/devices", b'{"name": "UPPER CASE"}', 422),
        ("GET", "/v1/devices/%00", None, 422),
        ("GET", "/v1/devices/nowhere", None, 404),
        ("GET", "/v1/devices?cursor=WyJcdTAwMDAiXQ", None, 422),
        ("GET", "/v1/devices?cursor=NQ", None, 422),
        ("GET", "/v1/audit?since=0001-01-01T00:00:00%2B14:00", None, 422),
        ("POST", "/v1/devices", b'{"name": "' + b"x" * (1 << 20) + b'"}', 413),
        ("POST", "/v1/tables/tbl_none/measurements", b'{"space": "' + b"x" * (2 << 20) + b'"}', 404),
        ("POST", "/v1/tables/tbl_none/measurements", b'{"space": "' + b"x" * (16 << 20) + b'"}', 413),
    ):
        answer = client.request(method, path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, (path, answer.text[:200])
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        assert found["type"].startswith("urn:lutnas:problem:")
        assert (found["status"], found["instance"]) == (status, path.partition("?")[0].replace("%00", "\0"))


def test_names_that_are_taken_are_conflicts_but_the_same_again_is_not(client: TestClient) -> None:
    document = json.loads(preset("fbnet-mini").model_dump_json())
    mine = {**document, "name": "mine"}
    assert [client.post("/v1/spaces", json=mine).status_code for _ in range(2)] == [201, 200]
    assert client.post("/v1/spaces", json={**mine, "classes": 3}).status_code == 409
    assert client.post("/v1/spaces", json=document).status_code == 409
    assert [client.post("/v1/devices", json={"name": "d"}).status_code for _ in range(2)] == [201, 409]


def test_spaces_are_listed_by_name_in_pages(client: TestClient) -> None:
    document = json.loads(preset("fbnet-mini").model_dump_json())
    for name in ("aaa", "fbnet-lite", "zzz"):
        client.post("/v1/spaces", json={**document, "name": name})
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/v1/spaces", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        names += [space["name"] for space in page["items"]]
        cursor = page["next_cursor"]
    assert names == ["aaa", "fbnet", "fbnet-cifar", "fbnet-lite", "fbnet-mini", "zzz"]


def test_a_space_that_a_version_before_took_is_told_by_name_and_hides_no_other(
    client: TestClient, database: Database
) -> None:
    document = preset("fbnet-mini").model_dump(mode="json")
    old = {**document, "name": "old", "stem": {"channels": 16, "kernel": 4, "stride": 4}}
    with database.write() as session:
        session.add(SearchSpace(id="spc_1", owner="main", name="old", document=old, created_at=datetime.now(UTC)))
    client.post("/v1/spaces", json={**document, "name": "zzz"}).raise_for_status()
    listed = client.get("/v1/spaces").json()["items"]
    assert [space["name"] for space in listed] == ["fbnet", "fbnet-cifar", "fbnet-mini", "zzz"]
    asked = [client.get("/v1/spaces/old"), client.post("/v1/search-jobs", json=a_job(space="old"))]
    for answer in asked:
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:lutnas:problem:space-outdated")
        assert "4 is even: write 1, 3, 5 or 7" in answer.json()["detail"]
    assert client.post("/v1/spaces", json={**document, "name": "old"}).status_code == 409


def test_a_space_read_can_be_brought_again(client: TestClient) -> None:
    document = client.get("/v1/spaces/fbnet").json()
    assert client.post("/v1/spaces", json={**document, "name": "copy"}).status_code == 201
    assert (
        client.post("/v1/spaces", json={**document, "name": "odd", "depth": 3}).json()["errors"][0]["field"] == "depth"
    )


def test_a_space_of_more_choices_than_can_be_laid_out_is_refused_in_a_sentence(client: TestClient) -> None:
    document = {**preset("fbnet-mini").model_dump(mode="json"), "name": "mine"}
    many = {**document, "stages": [{"channels": 64, "layers": 64}] * 64, "choices": {"width": [1, 0.5]}}
    queried = [(name, value) for name in ("precision", "width") for value in TOO_MANY[name]]
    queried += [("sparsity", f"unstructured@{level:.4f}") for level in TOO_MANY["sparsity"]["levels"] if level]
    answers = [client.post("/v1/spaces", json=many), client.get("/v1/spaces/fbnet-mini/operators", params=queried)]
    for answer, layers in zip(answers, ("4096", "7"), strict=True):
        assert answer.status_code == 422
        assert f"the {layers} layers have up to" in answer.json()["detail"]
        assert "offer fewer precisions, widths, levels of zeros, candidates or layers" in answer.json()["detail"]


def test_the_token_is_made_once_and_for_its_owner_alone(
    settings: Settings, database: Database, client: TestClient
) -> None:
    path = ensure_token(settings, database)
    assert path == settings.home / "token"
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    assert ensure_token(settings, database) == path
    assert path.read_text() == before
    assert before.strip() not in "".join(_all_text(database))


def _all_text(database: Database) -> list[str]:
    from api.auth.models import Token

    with database.read() as session:
        return [f"{row.sha256} {row.name} {row.owner}" for row in session.query(Token)]


def test_a_new_secret_of_the_operator_replaces_the_old_one(
    settings: Settings, database: Database, client: TestClient
) -> None:
    def given(secret: str) -> int:
        ensure_token(Settings(home=settings.home, database_url=settings.database_url, token=secret), database)
        return client.get("/v1/tokens/self", headers={"Authorization": f"Bearer {secret}"}).status_code

    assert given("first-secret-0123456789") == 200
    assert given("second-secret-0123456789") == 200
    old = {"Authorization": "Bearer first-secret-0123456789"}
    assert client.get("/v1/tokens/self", headers=old).status_code == 401
    ensure_token(settings, database)  # started without one: it is good for nothing any more
    second = {"Authorization": "Bearer second-secret-0123456789"}
    assert client.get("/v1/tokens/self", headers=second).status_code == 401
    with pytest.raises(ValueError, match="at least 16"):
        given("short")
