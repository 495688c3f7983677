"""A service in this process, with the tiny space and a device that covers it, whose jobs a test works at itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth.service import ensure_token
from api.db.migrate import upgrade
from api.db.session import Database
from api.settings import Settings
from latency.profiler.measure import Patience
from tests.e2e.conftest import made_up_table
from tests.search.builders import tiny_space


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests judge no latency."""
    monkeypatch.setattr("workers.timing.PATIENCE", Patience(least=0.0, most=0.0))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as every test finds it, made once."""
    file = tmp_path_factory.mktemp("migrated") / "lutnas.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sweep_seconds=3600, threads=1)


@pytest.fixture
def client(settings: Settings, migrated: Path) -> Iterator[TestClient]:
    settings.home.mkdir()
    shutil.copy(migrated, settings.home / "lutnas.db")
    database = Database(settings.database_url)
    token = ensure_token(settings, database)
    database.close()
    assert token is not None
    with TestClient(create_app(settings)) as client:
        client.headers["Authorization"] = f"Bearer {token.read_text().strip()}"
        assert client.post("/v1/devices", json={"name": "board"}).status_code == 201
        assert client.post("/v1/spaces", json=tiny_space().model_dump(mode="json")).status_code == 201
        table = client.post(
            "/v1/devices/board/tables?space=tiny", content=made_up_table(tiny_space()),
            headers={"Content-Type": "text/csv"},
        )  # fmt: skip
        assert table.status_code == 201, table.text
        yield client


@pytest.fixture
def database(settings: Settings, client: TestClient) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()
