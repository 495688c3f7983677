"""Brings a database to the newest revision. Two that start at once take turns.

from api.db.migrate import upgrade
upgrade("postgresql://...")
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from api.db.engine import make_engine

_LOCK = 0x6C75746E6173  # "lutnas", for Postgres
_BESIDE = Path(__file__).parent / "migrations"  # in an installed wheel
_CHECKOUT = Path(__file__).parents[2] / "migrations"


def upgrade(url: str) -> None:
    """Brings the database behind `url` to the newest revision.

    Raises SQLAlchemy's DBAPIError where it does not answer or refuses, OSError where its file cannot be opened,
    ValueError for a wrong URL and for a database that a newer version made.
    """
    engine = make_engine(url, foreign_keys=False)
    try:
        with alone(engine), engine.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            _refuse_unknown(connection, config)
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest revision."""
    found = MigrationContext.configure(connection).get_current_revision()
    return found == ScriptDirectory.from_config(alembic_config()).get_current_head()


def _refuse_unknown(connection: Connection, config: Config) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise ValueError(
            f"the database stands at revision {found}, and this version knows none after {known[0]}: "
            "start the version that wrote it, or one that is newer"
        )


def alembic_config() -> Config:
    """Alembic's settings, for the folder of migrations of this installation."""
    config = Config()
    config.set_main_option("script_location", str(_BESIDE if _BESIDE.is_dir() else _CHECKOUT).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """While nobody else migrates the same database."""
    if engine.dialect.name == "postgresql":
        # In no transaction: Postgres ends one that idles, and a revision of a long table would be alone no more.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        return
    database = Path(engine.url.database or "")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It holds the secrets of webhooks, and SQLite would make it as all files are made. What is beside it follows.
    os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
    # Beside the database: the switch to WAL is no transaction, so that two new processes would trip over each other.
    with database.with_name(f"{database.name}.migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
