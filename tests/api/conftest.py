"""The API on both stores: in the test's own process, or as a real server."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth.service import ensure_token, make_token
from api.db.migrate import upgrade
from api.db.models import Base
from api.db.session import Database
from api.settings import Settings
from api.webhooks.postman import Postman
from tests.api.making import a_table_csv, submit
from tests.api.receiving import Json, Receiver, lead
from tests.servers.postgres import new_database
from tests.servers.running import is_healthy, running


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database on each store, made once: a new one for each test would take longer than the tests."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'lutnas.db'}"
        upgrade(url)
        yield url
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def settings(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings on each store. The sweeper sleeps: tests sweep themselves. Tokens change behind the API's back."""
    home = tmp_path_factory.mktemp("api") / "home"
    return Settings(
        home=home, database_url=migrated_url, sweep_seconds=3600, threads=1, max_table_rows=5_000, known_token_seconds=0
    )


@pytest.fixture(scope="session")
def running_client(settings: Settings) -> Iterator[TestClient]:
    """The API in this process, started once a store."""
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The database, emptied."""
    database = Database(settings.database_url)
    with database.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    yield database
    database.close()


@pytest.fixture
def token(settings: Settings, database: Database) -> str:
    """The token of this home."""
    path = ensure_token(settings, database)
    assert path is not None
    return path.read_text().strip()


@pytest.fixture
def client(running_client: TestClient, token: str) -> TestClient:
    """The API, asked by its main owner."""
    running_client.headers["Authorization"] = f"Bearer {token}"
    return running_client


@pytest.fixture
def stranger(client: TestClient, database: Database) -> httpx.Headers:
    """Headers of another owner."""
    with database.write() as session:
        return httpx.Headers(
            {"Authorization": f"Bearer {make_token(session, owner='stranger', name='test', scopes=['admin'])}"}
        )


@pytest.fixture
def device(client: TestClient) -> str:
    """A device `cpu` with a table that covers fbnet-mini."""
    assert client.post("/v1/devices", json={"name": "cpu"}).status_code == 201
    answer = client.post("/v1/devices/cpu/tables", content=a_table_csv(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201, answer.text
    return "cpu"


@pytest.fixture
def board(client: TestClient) -> str:
    """A device `board` without tables."""
    assert client.post("/v1/devices", json={"name": "board"}).status_code == 201
    return "board"


@pytest.fixture
def table(client: TestClient, device: str) -> str:
    """The table of the device `cpu`."""
    (found,) = client.get(f"/v1/devices/{device}/tables").json()["items"]
    return str(found["id"])


@pytest.fixture
def job(client: TestClient, device: str) -> str:
    """A queued job."""
    return submit(client)


@pytest.fixture
def serve(
    settings: Settings, token: str, tmp_path: Path
) -> Callable[[], AbstractContextManager[tuple[httpx.Client, int]]]:
    """Starts a real server; gives a client of it and its process id."""
    from contextlib import contextmanager

    @contextmanager
    def start() -> Iterator[tuple[httpx.Client, int]]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        url, folder = f"http://127.0.0.1:{port}", tmp_path / "elsewhere"
        folder.mkdir()
        env = {
            **os.environ, "LUTNAS_HOME": str(settings.home), "LUTNAS_DATABASE_URL": settings.database_url,
            "LUTNAS_SWEEP_SECONDS": "3600",
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "uvicorn", "api.app:app", "--port", str(port), "--log-level", "warning"]
        headers = {"Authorization": f"Bearer {token}"}
        with (
            running(command, lambda: is_healthy(url), cwd=folder, env=env, log=tmp_path / "api.log") as process,
            httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        ):
            yield client, process.pid

    return start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def near(settings: Settings) -> Settings:
    """Settings that let webhooks reach this machine, and try three times."""
    changes = {"webhook_private": True, "webhook_attempts": 3, "webhook_timeout_seconds": 5.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def postman(database: Database, near: Settings) -> Postman:
    """Sends what is due, as a service's does."""
    return Postman(database, near)


@pytest.fixture
def webhook(client: TestClient, database: Database, receiver: Receiver) -> Json:
    """A webhook that leads to the receiver; the API of these tests takes public addresses only."""
    made: Json = client.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json()
    lead(database, made["id"], receiver.url)
    return made
