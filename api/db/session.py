"""Units of work: one transaction each, committed by whoever opened it, never by a service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from api.db.base import Base
from api.db.engine import make_engine, read_only

_READ_ONLY = "25006"  # Postgres: read_only_sql_transaction
_AFTER_COMMIT, _CHANGED = "after_commit", "changed"
_CLOCKS = {
    # unixepoch('subsec') is NULL before SQLite 3.42.
    "sqlite": text("SELECT CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"),
    "postgresql": text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"),
}


def is_away(error: Exception) -> bool:
    """Whether it says that the database does not answer, or takes no writes, as in a switch-over of Postgres."""
    if isinstance(error, OperationalError):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY
    )


class Database:
    """The store behind `url`. Close it when done.

    `witness` is called with the session at the end of each unit of work that changed something, inside of it.
    """

    def __init__(self, url: str, *, witness: Callable[[Session], None] | None = None) -> None:
        self.engine = make_engine(url)
        self._reader = read_only(self.engine)
        self._witness = witness

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction that writes: committed at the end, undone by an exception. Then what waited for it runs."""
        with Session(self.engine, expire_on_commit=False) as session:
            with session.begin():
                yield session
                self._have_seen(session)
            waiting = session.info.pop(_AFTER_COMMIT, [])
        for call in waiting:
            call()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that sees a single moment and cannot write."""
        with Session(self._reader, autoflush=False, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read_rows(self) -> Iterator[Connection]:
        """The same without objects: rows of columns, for what is asked for most. It takes half the time of `read`."""
        with self._reader.begin() as connection:
            yield connection

    def _have_seen(self, session: Session) -> None:
        if self._witness is not None:
            session.flush()
            if session.info.get(_CHANGED):
                self._witness(session)

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()


@event.listens_for(Session, "after_flush")
def _note_change(session: Session, _context: object) -> None:
    session.info[_CHANGED] = True


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Runs `call` once the unit of work is committed; an undone one runs nothing."""
    session.info.setdefault(_AFTER_COMMIT, []).append(call)


def in_turn(session: Session, name: str) -> None:
    """Until this unit of work, which writes, is committed, others that take their turn by the same `name` wait here.
    For what is counted before something is added to it: on Postgres two would count the same. SQLite has one writer.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def db_now(session: Session) -> int:
    """The database's clock in epoch microseconds: the one clock of all leases."""
    return int(session.execute(_CLOCKS[session.get_bind().dialect.name]).scalar_one())


def at(microseconds: int) -> datetime:
    """The moment of `db_now()` as a time."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def insert(session: Session, row: Base) -> bool:
    """Inserts `row` now. False where a unique column is taken, by whoever was faster; the unit of work goes on."""
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        return False
    return True
