"""The tests' servers are real, keep strangers out, and die with the run that started them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.servers.postgres import libpq_url
from tests.servers.running import is_alive

REPOSITORY = Path(__file__).parents[2]

START_AND_WAIT = """
import signal
from tests.servers.{module} import start_{module}
server = start_{module}()
print(server.process.pid, server.folder, flush=True)
signal.pause()
"""


def test_postgres_is_real_and_answers(postgres_server: str) -> None:
    with psycopg.connect(libpq_url(postgres_server)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        (version,) = connection.execute("SELECT version()").fetchone() or ("",)
    assert version.startswith("PostgreSQL ")


def test_postgres_refuses_a_wrong_password(postgres_server: str) -> None:
    scheme, _, rest = libpq_url(postgres_server).rpartition("@")
    user = scheme.removeprefix("postgresql://").partition(":")[0]
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(f"postgresql://{user}:wrong@{rest}")


def test_every_test_gets_a_database_of_its_own(postgres_server: str, postgres_url: str) -> None:
    assert postgres_url != postgres_server
    with psycopg.connect(libpq_url(postgres_url)) as connection:
        tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


def test_redis_is_real_and_keeps_its_password(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        assert client.info("server")["redis_mode"] == "standalone"
    without_password = "redis://" + redis_url.rpartition("@")[2]
    with redis.Redis.from_url(without_password) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize(("options", "code"), [(["-n", "2"], 4), (["-n", "1"], 0)])
def test_a_redis_that_was_given_is_for_one_process(options: list[str], code: int) -> None:
    asked = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", *options, __file__]
    environ = {**os.environ, "TEST_REDIS_URL": "redis://127.0.0.1:9/0"}
    done = subprocess.run(asked, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("TEST_REDIS_URL names one Redis, and 2 processes" in done.stderr) == (code == 4)


@pytest.mark.parametrize("module", ["postgres", "redis"])
def test_a_server_dies_with_a_run_that_is_killed(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A server of our own, also where the tests run against one that was given.
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    program = [sys.executable, "-c", START_AND_WAIT.format(module=module)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        server = psutil.Process(int(pid))
        family = [server, *server.children(recursive=True)]
        assert run.poll() is None
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (alive := [process for process in family if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(folder)
    assert alive == []
