"""The API keeps what its description promises, whatever it is sent."""

import re

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.db.session import Database
from api.settings import Settings
from benchmarks._fuzzing import REFUSES, fuzz
from tests.api.making import one_of_each

BROKEN = (
    b"", b"{", b"\xff\xfe", b"[" * 5000, b"9" * 5000, b"nul\0", b"null", b'"x"', b'{"seed": 1e400}',
    b'{"name": "\\ud800"}', b'{"name": "a", "labels": {"a": "\\u0000"}}', b'{"seed": 99999999999999999999}',
)  # fmt: skip
MEDIA_TYPES = ("application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "x", "")


def test_made_up_requests_get_what_the_description_promises(
    client: TestClient, database: Database, settings: Settings, token: str, job: str
) -> None:
    known = one_of_each(client, database, settings.artifacts, job)
    app = create_app(settings.model_copy(update={"requests_per_minute": 10**9}))
    found = fuzz(app, token, known, examples=1, seed=0, coverage=settings.database_url.startswith("sqlite"))
    assert list(found.failures.values()) == []
    operations = {f"{m.upper()} {path}" for path, methods in app.openapi()["paths"].items() for m in methods}
    assert set(found.operations) == operations


def test_every_operation_that_may_refuse_what_fits_is_there() -> None:
    paths = create_app().openapi()["paths"]
    operations = [f"{m.upper()} {path}" for path, methods in paths.items() for m in methods]
    for pattern, _ in REFUSES:
        assert any(re.search(pattern, operation) for operation in operations), pattern


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)  # no body gets as far as the store
@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
def test_bodies_that_nobody_can_read_are_problems_on_every_route(
    client: TestClient, device: str, media_type: str, encoding: str | None
) -> None:
    headers = {"Content-Type": media_type, **({"Content-Encoding": encoding} if encoding else {})}
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        if "requestBody" not in methods.get("post", {}) or path.endswith("/validate"):
            continue
        url = path.format(device="cpu", table_id="x", request_id="x", job_id="x", architecture_id="x")
        for body in BROKEN:
            answer = client.post(url, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, (path, body, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/devices", "/v1/search-jobs/validate", "/v1/tokens/self"])
def test_a_method_that_a_path_does_not_take_is_told_all_that_it_takes(client: TestClient, path: str) -> None:
    taken = client.get("/openapi.json").json()["paths"][path]
    answer = client.request("PATCH", path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == ", ".join(sorted(method.upper() for method in taken))


@pytest.mark.parametrize(
    ("range_", "status", "slug"),
    [
        ("bytes=0-1", 206, None), ("bytes=-3", 206, None), ("bytes=100-", 416, "range-not-satisfiable"),
        ("bytes=-99999", 200, None), ("bytes=0-99999999999999999999", 200, None), ("bytes=9-1", 200, None),
        ("bytes=x", 200, None), ("lines=0-1", 200, None), ("bytes=", 200, None), ("bytes=0-1,3-4", 200, None),
    ],
)  # fmt: skip
def test_a_range_behind_the_end_is_a_problem_and_one_that_cannot_be_read_gives_the_whole(
    client: TestClient, database: Database, settings: Settings, job: str, range_: str, status: int, slug: str | None
) -> None:
    artifact = one_of_each(client, database, settings.artifacts, job)["artifact_id"]
    answer = client.get(f"/v1/artifacts/{artifact}/content", headers={"Range": range_})
    assert answer.status_code == status
    if slug is not None:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == f"urn:lutnas:problem:{slug}"
        assert answer.headers.get("content-range") == ("bytes */7" if status == 416 else None)
