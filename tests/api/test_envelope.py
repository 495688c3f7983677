"""What every answer carries, and what no log does."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from api.app import create_app
from api.envelope import STRICT
from api.settings import Settings
from tests.api.making import submit
from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

SECRETS = {
    "LUTNAS_TOKEN": "the-operators-secret-1", "LUTNAS_BROKER_URL": "redis://:the-brokers-secret@127.0.0.1:1/0",
}  # fmt: skip


def test_every_answer_tells_browsers_to_keep_out(client: TestClient) -> None:
    unknown = {"Authorization": "Bearer nobodys"}
    answers = [
        client.get("/v1/devices"), client.get("/v1/nothing"), client.delete("/v1/devices"), client.get("/healthz"),
        client.get("/openapi.json"), client.get("/v1/audit", headers=unknown),
        client.post("/v1/devices", content=b"x" * (2 << 20)),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 404, 405, 200, 200, 401, 413]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == STRICT
        assert answer.headers["x-request-id"]
        assert "strict-transport-security" not in answer.headers


def test_the_page_of_documentation_may_load_what_it_names_and_is_framed_by_nobody(client: TestClient) -> None:
    answer = client.get("/docs")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["frame-ancestors"] == "'none'"
    assert "https://cdn.jsdelivr.net/" in answer.text
    assert "https://cdn.jsdelivr.net" in policy["script-src"]
    assert policy["default-src"] == "'none'"


def test_https_alone_is_asked_for_where_the_operator_says_so(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"hsts_seconds": 300}))) as client:
        assert client.get("/healthz").headers["strict-transport-security"] == "max-age=300"


def test_settings_show_no_secret_in_their_repr_or_their_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LUTNAS_DATABASE_URL", "postgresql://lutnas:the-databases-secret@127.0.0.1:1/x")
    assert "secret" not in repr(Settings())
    monkeypatch.setenv("LUTNAS_TOKEN_FILE", str(tmp_path))
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "secret" not in str(caught.value)


def test_a_server_that_logs_all_it_can_writes_no_secret(tmp_path: Path) -> None:
    """Real requests, good and bad, against a real server, and a failure of its store."""
    port, log = free_port(), tmp_path / "api.log"
    url, home = f"http://127.0.0.1:{port}", tmp_path / "home"
    environ = {**os.environ, "LUTNAS_HOME": str(home), "LUTNAS_SWEEP_SECONDS": "3600", **SECRETS}
    command = [sys.executable, "-P", "-m", "lutnas", "serve", "--port", str(port), "--log-level", "debug"]
    with running(command, lambda: is_healthy(url), cwd=tmp_path, env=environ, log=log):
        headers = {"Authorization": f"Bearer {SECRETS['LUTNAS_TOKEN']}"}
        with httpx.Client(base_url=url, headers=headers) as client:
            made = client.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["secret"]
            by = {"Authorization": f"Bearer {made}"}
            assert client.get("/v1/devices", headers=by).status_code == 200
            assert client.post("/v1/devices", json={"name": "x"}, headers=by).status_code == 403
            job = submit(client, constraints=[{"metric": "macs", "max": 1e9}])  # the broker is asked, and is not there
            broken = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DROP TABLE audit'); c.commit()"
            subprocess.run([sys.executable, "-c", broken, str(home / "lutnas.db")], check=True)
            lost = client.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]})
            assert lost.status_code in (500, 503)
    written = log.read_text()
    assert "no such table: audit" in written
    assert "GET /v1/devices" in written
    assert f"could not ring for {job}" in written
    for secret in (made, "the-operators-secret-1", "the-brokers-secret"):
        assert secret not in written
