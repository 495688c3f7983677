"""Every revision with data in it: up to the newest and read by the API, down again, and what that loses is named."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, event, inspect, text

from api.app import create_app
from api.db.engine import make_engine
from api.db.migrate import alembic_config, alone, upgrade
from api.settings import Settings
from tests.migrations.plain import REVISIONS, insert_plainly, rows_of
from tests.migrations.rows_0001 import SECRET

SCRIPTS = ScriptDirectory.from_config(alembic_config())
LARGE = ("job_events", "table_rows", "measured_networks")  # a row an event, an operator, a network
# What holds readers of a table off for as long as it takes to read or write all of it.
STOPS = re.compile(
    r"ALTER COLUMN \w+ (TYPE|SET NOT NULL)"
    r"|ADD COLUMN (?!.*DEFAULT).*NOT NULL"
    r"|ADD COLUMN .*DEFAULT (?!(NULL|TRUE|FALSE|-?\d|'))"  # a constant is kept beside the table, a call fills it
    r"|ADD (CONSTRAINT|CHECK|PRIMARY|UNIQUE|FOREIGN)(?!.*NOT VALID)|^(VACUUM FULL|CLUSTER|LOCK)",
    re.IGNORECASE | re.DOTALL,
)


@contextmanager
def moved(engine: Engine) -> Iterator[tuple[Connection, Any]]:
    """A transaction, and Alembic's settings for it."""
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        yield connection, config


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Of an empty database, on each store, as migrations use it."""
    engine = make_engine(database_url, foreign_keys=False)
    yield engine
    engine.dispose()


def test_who_migrates_holds_the_lock_in_no_transaction(postgres_url: str) -> None:
    """Postgres ends a transaction that idles, which would let another one migrate beside a long revision."""
    engine = make_engine(postgres_url, foreign_keys=False)
    with alone(engine), engine.connect() as connection:
        holders = text("SELECT state FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'")
        assert connection.execute(holders).scalars().all() == ["idle"]
    engine.dispose()


def shape(connection: Connection) -> set[str]:
    """All tables, and all columns as table.column."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names()) - {"alembic_version"}
    return tables | {f"{table}.{column['name']}" for table in tables for column in inspector.get_columns(table)}


def counts(connection: Connection, tables: set[str]) -> dict[str, int]:
    return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}


def test_every_revision_has_rows_and_says_what_its_downgrade_loses() -> None:
    known = sorted(script.revision for script in SCRIPTS.walk_revisions())
    assert list(REVISIONS) == known, "a new revision needs a module rows_NNNN beside this one"
    for script in SCRIPTS.walk_revisions():
        assert isinstance(script.module.LOSES, tuple), f"{script.path} needs LOSES"


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_a_revision_kept_is_read_at_the_newest(
    engine: Engine, database_url: str, revision: str, tmp_path: Path
) -> None:
    rows = rows_of(revision)
    with moved(engine) as (connection, config):
        command.upgrade(config, revision)
        insert_plainly(connection, rows)
    upgrade(database_url)
    with engine.connect() as connection:
        assert counts(connection, set(rows)) == {table: len(listed) for table, listed in rows.items()}
    settings = Settings(home=tmp_path / "home", database_url=database_url, sweep_seconds=3600, threads=1)
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {SECRET}"}) as client:
        _read_everything(client, set(rows))


def _read_everything(client: TestClient, tables: set[str]) -> None:
    def get(path: str) -> Any:
        answer = client.get(f"/v1{path}")
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    assert get("/tokens/self")["scopes"] == ["admin"]
    assert get("/devices/board")["labels"] == {"a": "ü"}
    assert get("/spaces/small")["stages"][0].items() >= {"channels": 8, "layers": 1, "stride": 1}.items()
    assert get("/datasets/mine")["content_hash"] == "d" * 64
    jobs = {job["id"]: job for job in get("/search-jobs")["items"]}
    assert (jobs["job_1"]["state"], jobs["job_1"]["spec"]["seed"], jobs["job_2"]["state"]) == ("succeeded", 3, "paused")
    assert jobs["job_1"]["pins"]["tables"][0]["constraint"] == 0
    assert jobs["job_3"]["error"]["detail"] == "why"
    assert [event["id"] for event in get("/search-jobs/job_1/events")["items"]] == [1, 2]
    assert [job["id"] for job in get("/search-jobs?label=team:cam")["items"]] == ["job_1"]
    assert get("/search-jobs/job_1/artifacts")["items"][0]["name"] == "model.onnx"
    architecture = get("/architectures/arc_1")
    assert (architecture["predicted_latency_us"], architecture["test_accuracy"]) == ({"board": 80.5}, 0.75)
    assert get("/search-jobs/job_1/architecture") == architecture
    assert get("/devices/board/tables")["items"] == [get("/tables/tbl_1")]
    assert [row["latency_us"] for row in get("/tables/tbl_1/rows")["items"]] == [12.5, 13.5]
    assert client.get("/v1/tables/tbl_1/file").text.count("mbconv") == 2
    assert len(get("/tables/tbl_1/measurements")["items"]) == ("measured_networks" in tables)
    assert len(get("/devices/board/requests")["items"]) == ("device_requests" in tables)
    assert len(get("/audit")["items"]) == ("audit" in tables)
    # A job that was at its end, or stood, goes on as it would have.
    assert client.post("/v1/search-jobs/job_2/resume").json()["state"] == "queued"


def test_going_down_loses_what_each_revision_names_and_up_again_comes_back_whole(
    engine: Engine, database_url: str
) -> None:
    upgrade(database_url)
    with moved(engine) as (connection, _):
        insert_plainly(connection, rows_of(REVISIONS[-1]))
    for script in SCRIPTS.walk_revisions():
        with moved(engine) as (connection, config):
            before = shape(connection)
            tables = {name for name in before if "." not in name}
            rows = counts(connection, tables)
            command.downgrade(config, "base" if script.down_revision is None else f"{script.revision}-1")
            after = shape(connection)
            stand = tables & after
            gone = {name for name in before - after if "." not in name or name.partition(".")[0] in stand}
            gone |= {f"rows of {name}" for name, count in counts(connection, stand).items() if count < rows[name]}
        assert gone == set(script.module.LOSES), script.path
    with engine.connect() as connection:
        assert shape(connection) == set()
    upgrade(database_url)
    with moved(engine) as (connection, config):
        command.check(config)


def test_no_revision_holds_readers_of_a_large_table_off(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, cursor, statement, *rest: said.append(statement))
    for revision in REVISIONS:
        said.clear()
        with moved(engine) as (_, config):
            command.upgrade(config, revision)
            new = {table for table in LARGE if any(s.lstrip().startswith(f"CREATE TABLE {table} ") for s in said)}
            for statement in said:
                assert not stops_readers(statement, set(LARGE) - new), f"{revision}: {statement}"
    engine.dispose()


def stops_readers(statement: str, tables: set[str]) -> bool:
    """Whether a statement of Postgres keeps readers of one of `tables` waiting while it goes through it."""
    return (
        any(re.search(rf"\b{table}\b", statement) for table in tables) and STOPS.search(statement.strip()) is not None
    )


@pytest.mark.parametrize(
    ("statement", "stops"),
    [
        ("ALTER TABLE job_events ADD COLUMN a TEXT", False),
        ("ALTER TABLE job_events ADD COLUMN a TEXT DEFAULT '' NOT NULL", False),
        ("ALTER TABLE job_events ADD COLUMN a TEXT NOT NULL", True),
        ("ALTER TABLE job_events ADD COLUMN a TIMESTAMP DEFAULT clock_timestamp()", True),
        ("ALTER TABLE job_events ALTER COLUMN id TYPE INTEGER", True),
        ("ALTER TABLE job_events ALTER COLUMN id SET NOT NULL", True),
        ("ALTER TABLE job_events ADD CONSTRAINT a CHECK (id > 0)", True),
        ("ALTER TABLE job_events ADD CONSTRAINT a CHECK (id > 0) NOT VALID", False),
        ("CREATE INDEX a ON job_events (id)", False),
        ("ALTER TABLE spaces ALTER COLUMN id TYPE INTEGER", False),
    ],
)
def test_the_statements_that_hold_readers_off_are_known(statement: str, stops: bool) -> None:
    assert stops_readers(statement, set(LARGE)) == stops
