"""Storage: both stores take and refuse the same, writes are not lost, migrations match the models."""

import hashlib
import math
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError

from api.auth.service import identify, make_token
from api.db.engine import make_engine
from api.db.migrate import alembic_config, upgrade
from api.db.models import Base
from api.db.session import Database, db_now
from api.db.types import Unstorable
from api.devices.models import Device
from api.ids import new_id
from api.jobs.lease import Lease, fail
from api.jobs.models import JobAttempt, SearchJob
from api.settings import Settings

ADDER = """
import sys
from sqlalchemy import select
from api.db.models import Device
from api.db.session import Database
database = Database(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with database.write() as session:
        row = session.scalars(select(Device).with_for_update()).one()
        row.last_version = row.last_version + 1
database.close()
"""


def a_device(**changes: Any) -> Device:
    values = {
        "id": new_id("dev"), "owner": "main", "name": "cpu", "description": "", "labels": {}, "last_version": 0,
        "created_at": datetime.now(UTC),
    }  # fmt: skip
    return Device(**{**values, **changes})


def test_read_then_update_from_several_processes_loses_nothing(database: Database, settings: Settings) -> None:
    with database.write() as session:
        session.add(a_device())
    command = [sys.executable, "-c", ADDER, settings.database_url, "40"]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    with database.read() as session:
        assert session.query(Device).one().last_version == 160


@pytest.mark.parametrize("store", ["sqlite_url", "postgres_url"])
def test_migrations_give_what_the_models_say(store: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(store)
    with ThreadPoolExecutor(2) as pool:  # two that start at once
        list(pool.map(upgrade, [url, url]))
    upgrade(url)
    engine = make_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("store", ["sqlite_url", "postgres_url"])
def test_a_token_of_before_scopes_may_do_everything_and_one_of_since_is_none_of_before(
    store: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(store)
    secret, config = "lutnas_of-before", alembic_config()
    kept = {"hash": hashlib.sha256(secret.encode()).hexdigest()}
    engine = make_engine(url, foreign_keys=False)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        row = "INSERT INTO tokens (sha256, owner, name, created_at) VALUES (:hash, 'main', 'home', CURRENT_TIMESTAMP)"
        connection.execute(text(row), kept)
    upgrade(url)
    database = Database(url)
    with database.write() as session:
        caller = identify(session, secret, now=datetime.now(UTC))
        make_token(session, owner="main", name="since", scopes=["read"])
    database.close()
    assert (caller.token_id[:4], caller.token_owner, caller.scopes) == ("tok_", "main", ("admin",))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        assert connection.scalars(text("SELECT sha256 FROM tokens")).all() == [kept["hash"]]
    engine.dispose()


@pytest.mark.parametrize("store", ["sqlite_url", "postgres_url"])
def test_a_job_that_runs_while_attempts_come_in_can_still_end(store: str, request: pytest.FixtureRequest) -> None:
    url, config = request.getfixturevalue(store), alembic_config()
    engine = make_engine(url, foreign_keys=False)
    values = {
        "id": "job_1", "owner": "main", "name": "old", "state": "running", "spec": "{}", "space": "{}", "pins": "{}",
        "progress": "{}", "wish": "", "attempt": 2, "barren_attempts": 1, "lease_worker": "w",
        "lease_expires_us": 2**62, "rings": 1, "next_ring_us": 0, "last_event_id": 0,
    }  # fmt: skip
    names = ", ".join(values)
    row = f"INSERT INTO search_jobs ({names}, created_at) VALUES (:{names.replace(', ', ', :')}, CURRENT_TIMESTAMP)"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        connection.execute(text(row), values)
    engine.dispose()
    upgrade(url)
    database = Database(url)
    with database.write() as session:
        fail(session, Lease("job_1", 2, "w"), problem={"detail": "over"})
    with database.read() as session:
        attempt, job = session.get_one(JobAttempt, ("job_1", 2)), session.get_one(SearchJob, "job_1")
        assert (attempt.worker, attempt.ended, job.state) == ("w", "failed", "failed")
        assert (job.priority, job.limits) == (0, {})
    database.close()


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"), database.read() as session:
        session.execute(text("DELETE FROM devices"))


def test_an_undone_unit_of_work_leaves_nothing(database: Database) -> None:
    def fail_halfway() -> None:
        with database.write() as session:
            session.add(a_device())
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with database.read() as session:
        assert session.query(Device).count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a\0b"}, {"name": "\ud800"}, {"labels": {"a": "\0"}}, {"labels": {"a\0": ""}},
        {"labels": {"a": math.nan}}, {"labels": {"a": [math.inf]}}, {"labels": {1: "a"}},
        {"labels": {"a": object()}}, {"created_at": datetime(2026, 1, 1)},
    ],
)  # fmt: skip
def test_both_stores_refuse_the_same_values(database: Database, changes: dict[str, Any]) -> None:
    with pytest.raises(StatementError) as caught, database.write() as session:
        session.add(a_device(**changes))
    assert isinstance(caught.value.orig, Unstorable)


def test_times_come_back_as_the_same_moment_in_utc(database: Database) -> None:
    moment = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    with database.write() as session:
        session.add(a_device(created_at=moment))
    with database.read() as session:
        found = session.query(Device).one().created_at
    assert found == moment
    assert found.tzinfo is UTC


def test_texts_sort_by_bytes_on_both_stores(database: Database) -> None:
    names = ["b", "B", "a", "_", "0", "ä", "a-b", "ab"]
    with database.write() as session:
        session.add_all(a_device(name=name) for name in names)
    with database.read() as session:
        found = list(session.scalars(text("SELECT name FROM devices ORDER BY name")))
    assert found == sorted(names)


def test_the_clock_is_the_databases_and_in_microseconds(database: Database) -> None:
    with database.read() as session:
        now = datetime.fromtimestamp(db_now(session) / 1e6, UTC)
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_ids_sort_by_the_time_of_making() -> None:
    made = [new_id("job", now_ms=now) for now in (0, 1, 1_000, 1_700_000_000_000, 2**48 - 1)]
    assert made == sorted(made)
    assert {len(name) for name in made} == {24}


def test_other_stores_are_refused() -> None:
    for url in ("mysql://a/b", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match="LUTNAS_DATABASE_URL"):
            make_engine(url)
    assert make_engine("postgresql://a/b").url.drivername == "postgresql+psycopg"


def test_a_postgres_that_says_nothing_is_given_up_and_the_url_may_say_when() -> None:
    assert make_engine("postgresql://lutnas@127.0.0.1/lutnas").url.query["connect_timeout"] == "10"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = make_engine(f"postgresql://lutnas@127.0.0.1:{silent.getsockname()[1]}/lutnas?connect_timeout=2")
        with pytest.raises(OperationalError, match="timeout expired"):
            engine.connect()
