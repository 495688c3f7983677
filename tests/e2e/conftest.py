"""The service as its users run it: an API process, worker processes, and a store; on both kinds of store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from api.db.session import Database
from api.jobs.models import SearchJob
from latency.formats import write_csv
from latency.table import Entry, LatencyTable, TableInfo
from lutnas.client import Client
from search.space import Space
from tests.search.builders import tiny_space
from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

PROGRAM = [sys.executable, "-P", "-m", "lutnas"]
PATIENCE_SECONDS = 240.0  # on a machine that does much else
LONG_SECONDS = 600  # that a test of several such waits and of several starts of servers may take


@dataclass
class Site:
    """A service on one store. Checkpoints come five times a second, so that there soon is one to go on from."""

    folder: Path
    database_url: str
    broker_url: str
    port: int = field(default_factory=free_port)

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "LUTNAS_HOME": str(self.folder / "home"),
            "LUTNAS_DATABASE_URL": self.database_url,
            "LUTNAS_BROKER_URL": self.broker_url,
            "LUTNAS_FASHION_MNIST": "http://127.0.0.1:9/nobody-listens",
            "LUTNAS_THREADS": "1",
            "LUTNAS_SWEEP_SECONDS": "0.2",
            "LUTNAS_CHECKPOINT_SECONDS": "0.2",
            "LUTNAS_WORKER_NICENESS": "0",  # what a test waits for comes before the other tests
        }

    @contextmanager
    def serve(self) -> Iterator[Client]:
        """The API, with the tiny space and a device that covers it."""
        url = f"http://127.0.0.1:{self.port}"
        command = [*PROGRAM, "serve", "--port", str(self.port)]
        log = self.folder / "serve.log"
        with running(command, lambda: is_healthy(url), cwd=self.folder, env=self.environ, log=log):
            client = Client(url, (self.folder / "home" / "token").read_text().strip())
            with client:
                client.create_device("board")
                client.create_space(tiny_space().model_dump(mode="json"))
                client.upload_table("board", made_up_table(tiny_space()), media_type="text/csv", space="tiny")
                yield client

    def worker(self, name: str) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A worker process; its child runs the jobs, and dies with it. Celery takes six seconds to end an idle one, so
        what a test has no more use for is killed.
        """
        log = self.folder / f"{name}.log"
        started = lambda: b"ready" in log.read_bytes()  # noqa: E731  # Celery's own word for it
        command = [*PROGRAM, "worker"]
        return running(command, started, cwd=self.folder, env=self.environ, log=log, ended_by=signal.SIGKILL)

    def kill(self, worker: "subprocess.Popen[bytes]", job_id: str) -> None:
        """SIGKILL in the middle of a job, whose lease then runs out at once instead of in a minute."""
        worker.kill()
        worker.wait()
        database = Database(self.database_url)
        with database.write() as session:
            running_job = (SearchJob.id == job_id) & (SearchJob.state == "running")
            expired = session.execute(update(SearchJob).where(running_job).values(lease_expires_us=1))
            assert expired.rowcount == 1  # type: ignore[attr-defined]  # of a CursorResult
        database.close()


def made_up_table(space: Space, *, device: str = "board", scale: float = 1.0) -> bytes:
    """Latencies that grow with the block."""
    info = TableInfo(device=device, runtime="made-up", threads=1, batch=1)
    rows = {o: Entry(scale * (1.0 + o.h * o.c_mid / 40)) for o in space.operators()}
    return "".join(write_csv(info, LatencyTable(info, rows).entries.items())).encode()


def spec(**changes: Any) -> dict[str, Any]:
    """A search of some seconds on the real digits."""
    return {
        "space": "tiny",
        "dataset": "digits",
        "constraints": [{"metric": "latency", "device": "board", "max_us": 60.0}],
        "search": {"epochs": 5, "warmup_epochs": 1, "batch_size": 64, "evidence_samples": 16},
        "finish": {"epochs": 8, "batch_size": 64},
        **changes,
    }


BRIEF = {
    "search": {"epochs": 3, "warmup_epochs": 1, "batch_size": 64, "evidence_samples": 16},
    "finish": {"epochs": 2, "batch_size": 64},
}  # for tests that need a job's end and not its way


def until(found: Callable[[], Any]) -> Any:
    """The first true answer of `found`; fails after a good while without one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.2)  # between two looks at another process
    raise AssertionError(f"nothing in {PATIENCE_SECONDS:g} s")


def weights_sha256(client: Client, job_id: str) -> str:
    """Checksum of the weights that a succeeded job gave."""
    job = client.job(job_id)
    assert job["state"] == "succeeded", job
    by_name = {artifact["name"]: artifact["sha256"] for artifact in client.job_artifacts(job_id)}
    written = {"architecture.json", "weights.safetensors", "model.onnx", "model.tflite", "evidence.json"}
    assert set(by_name) == {*written, "supernet.safetensors", "report.json", "report.html"}
    return str(by_name["weights.safetensors"])


def finished(client: Client, job_id: str) -> str:
    """Waits for a job to succeed and gives the checksum of its weights."""
    until(lambda: client.job(job_id)["state"] in ("succeeded", "failed", "cancelled"))
    return weights_sha256(client, job_id)


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service with one worker, for the tests that disturb neither. The device has the one table."""
    folder = tmp_path_factory.mktemp("served")
    site = Site(folder, f"sqlite:///{folder / 'lutnas.sqlite'}", "filesystem://")
    with site.serve() as client, site.worker("only"):
        yield client


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Site:
    """SQLite and folders: no server at all."""
    return Site(tmp_path, f"sqlite:///{tmp_path / 'lutnas.sqlite'}", "filesystem://")


@pytest.fixture
def postgres_site(tmp_path: Path, postgres_url: str, fresh_redis_url: str) -> Site:
    """A real Postgres and a real Redis."""
    assert urlsplit(fresh_redis_url).scheme == "redis"
    folder = tmp_path / "postgres"
    folder.mkdir()
    return Site(folder, postgres_url, fresh_redis_url)


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    """The service on each store."""
    found: Site = request.getfixturevalue(f"{request.param}_site")
    return found
