"""A real service on SQLite, started by the command itself, and the command to ask it with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.db.session import Database
from latency.formats import write_csv
from latency.profiler.measure import Patience
from latency.table import Entry, LatencyTable, TableInfo
from lutnas.cli import cli
from lutnas.client import Client
from search.space import Space, preset
from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

PROGRAM = [sys.executable, "-P", "-m", "lutnas"]


@dataclass
class Service:
    """A running service and the ways to it."""

    url: str
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"LUTNAS_HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "COLUMNS": "200"}

    def lutnas(self, *arguments: str, input: str | None = None) -> Result:
        """The command, in this process."""
        return CliRunner().invoke(cli, list(arguments), input=input, env=self.environ, catch_exceptions=False)

    def data(self, *arguments: str, input: str | None = None, code: int = 0) -> Any:
        """What the command prints with --json; its exit code must be `code`."""
        done = self.lutnas(*arguments, "--json", input=input)
        assert done.exit_code == code, done.stderr
        return json.loads(done.stdout)

    def process(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command, in a process of its own."""
        environ = {**os.environ, **self.environ}
        pipe = subprocess.PIPE
        return subprocess.Popen([*PROGRAM, *arguments], env=environ, stdout=pipe, stderr=pipe, text=True)

    def client(self) -> Client:
        return Client(self.url, (self.home / "token").read_text().strip())

    def database(self) -> Database:
        return Database(f"sqlite:///{self.home / 'lutnas.db'}")


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command times in this process is timed for a moment: tests judge no latency."""
    for module in ("profile", "model", "networks"):
        timing = import_module(f"latency.profiler.{module}")  # by its path, as the package has functions of that name
        monkeypatch.setattr(timing, "PATIENCE", Patience(least=0.0, most=0.2))


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of this folder; no worker: tests take a worker's part through its own door."""
    folder = tmp_path_factory.mktemp("service")
    port = free_port()
    found = Service(f"http://127.0.0.1:{port}", folder / "home")
    command = [*PROGRAM, "serve", "--port", str(port)]
    environ = {**os.environ, **found.environ}
    with running(command, lambda: is_healthy(found.url), cwd=folder, env=environ, log=folder / "serve.log"):
        yield found


def csv_of(space: Space, device: str, *, scale: float = 1.0) -> str:
    """A table that covers `space`, of made-up latencies: an operator costs its channels times `scale`, microseconds."""
    info = TableInfo(device=device, runtime="made-up", threads=1, batch=1)
    rows = {o: Entry(1.0 + scale * (o.c_mid + o.c_out)) for o in space.operators()}
    return "".join(write_csv(info, LatencyTable(info, rows).entries.items()))


@pytest.fixture(scope="package")
def table(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The table of a device `board` that covers fbnet-mini, uploaded by the command."""
    file = tmp_path_factory.mktemp("tables") / "board.csv"
    file.write_text(csv_of(preset("fbnet-mini"), "board"))
    return service.data("tables", "upload", str(file), "--device", "board", "--space", "fbnet-mini", "--create")


@pytest.fixture
def spec(table: Any) -> dict[str, Any]:
    """A job that the service takes."""
    constraint = {"metric": "latency", "device": "board", "table": table["id"], "max_us": 1e6}
    return {"name": "trial", "space": "fbnet-mini", "dataset": "fashion-mnist", "constraints": [constraint]}


@pytest.fixture
def database(service: Service) -> Iterator[Database]:
    """The service's database, for the part of a worker."""
    opened = service.database()
    yield opened
    opened.close()
