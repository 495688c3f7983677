"""What every test may ask for. The servers start when the first test needs them and end with the run."""

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.servers.binaries import ServerError
from tests.servers.postgres import describe_postgres, new_database, start_postgres
from tests.servers.redis import check_alone, describe_redis, start_redis
from tests.servers.s3 import s3_server

# A setting of the person who runs the tests must not reach them, nor their spans that person's collector; a service
# under test must not reach that person's files. LUTNAS_REAL_TABLES is a setting of the tests themselves.
_CLEARED = ("LUTNAS_", "OTEL_")
_KEPT = {"LUTNAS_REAL_TABLES"}


def pytest_configure(config: pytest.Config) -> None:
    """Behind xdist, which makes of -n what it starts."""
    check_alone(len(config.getoption("tx", None) or []))


def pytest_report_header() -> list[str]:
    """Which servers the tests run against."""
    lines = []
    for name, describe in (("postgres", describe_postgres), ("redis", describe_redis)):
        try:
            lines.append(f"{name}: {describe()}")
        except ServerError as error:
            lines.append(f"{name}: {str(error).splitlines()[0]}")
    return lines


@pytest.fixture(scope="session", autouse=True)
def _listen_to_ctrl_c() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so all that this starts: tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(_CLEARED) and name not in _KEPT]:
        del os.environ[name]
    # Servers of this machine are asked without a proxy. What was given stays: pip may find its index by it.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [given, "127.0.0.1,localhost"]))
    os.environ["LUTNAS_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy URL of a real Postgres, with a role that may create databases."""
    server = start_postgres()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a real Redis, password included. Shared by all tests: see `fresh_redis_url`."""
    server = start_redis()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that answers as S3 does."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def bucket_url(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new, empty bucket, for settings; what is asked of it is signed by made-up keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"test-{secrets.token_hex(6)}"
    httpx.put(f"{s3_url}/{name}").raise_for_status()
    return f"s3://{name}/lutnas?endpoint_url={s3_url}"


@pytest.fixture
def fresh_redis_url(redis_url: str) -> str:
    """The same Redis, emptied: no message of an earlier test is left in a queue."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty Postgres database."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """SQLAlchemy URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'lutnas.sqlite'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database, once on each store."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
