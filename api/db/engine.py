"""The engine: one SQLite file or one Postgres, with the same promises.

SQLAlchemy's defaults lose writes on SQLite: the driver begins a transaction at the first write, so that two processes
read, both change, and one change is gone. Here a writer says BEGIN IMMEDIATE, and a reader cannot write.
"""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

READ_ONLY = "lutnas_read_only"
BUSY_MILLISECONDS = 30_000
# libpq would wait as long as TCP does for a host that is gone: two minutes to connect, hours for an answer. By these a
# heart learns of it well before its lease has run out.
POSTGRES_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
SILENT_SECONDS = 300  # longer than what is done between two statements, such as to hash the files of a job


def store_url(url: str) -> URL:
    """`url` with the driver that lutnas uses; raises ValueError for a store other than SQLite and Postgres."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ValueError(f"LUTNAS_DATABASE_URL: {backend} is no store of lutnas: take sqlite or postgresql")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError("LUTNAS_DATABASE_URL: workers share the database, so SQLite needs a file")
    return parsed


def make_engine(url: str, *, foreign_keys: bool = True) -> Engine:
    """An engine on `url`. Without `foreign_keys` (SQLite) a table can be rebuilt and its children stay.

    Its errors, which are logged, do not show values: what people send is nobody's in a log.
    """
    parsed = store_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, pool_size=10, max_overflow=30, hide_parameters=True)
        _prepare_sqlite(engine, foreign_keys=foreign_keys)
        return engine
    parsed = parsed.set(query={**POSTGRES_PATIENCE, **parsed.query})
    engine = create_engine(parsed, pool_size=5, max_overflow=35, pool_pre_ping=True, hide_parameters=True)
    event.listen(engine, "connect", _end_when_silent)
    return engine


def read_only(engine: Engine) -> Engine:
    """The same engine; its transactions see one moment and cannot write."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{READ_ONLY: True})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _end_when_silent(connection: Any, _record: Any) -> None:
    """Has Postgres let go what a transaction holds whose machine is gone. By itself it would take TCP's word, hours."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{SILENT_SECONDS}s'")
    connection.commit()


def _prepare_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in (
            f"busy_timeout = {BUSY_MILLISECONDS}",
            "journal_mode = WAL",
            "synchronous = FULL",  # what a commit names on disk, and unlinks after it, must outlive the power
            f"foreign_keys = {int(foreign_keys)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = bool(connection.get_execution_options().get(READ_ONLY))
        if connection.info.get(READ_ONLY) is not reads:  # the pool's connections serve both
            connection.exec_driver_sql(f"PRAGMA query_only = {int(reads)}")
            connection.info[READ_ONLY] = reads
        connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")
