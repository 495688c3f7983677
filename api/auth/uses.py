"""When a token was used last: noted after the answer, and rarely, so that reading stays reading."""

from datetime import UTC, datetime, timedelta
from threading import Lock

from sqlalchemy import update

from api.auth.callers import Caller
from api.auth.models import Token
from api.db.session import Database

EVERY = timedelta(minutes=5)


class Uses:
    """Notes uses, one writer a token at a time: readers must not queue behind a long write to note that they read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noting: set[str] = set()
        self._lock = Lock()

    def is_due(self, caller: Caller, now: datetime) -> bool:
        """Whether what is known is older than some minutes."""
        return caller.last_used_at is None or now - caller.last_used_at >= EVERY

    def note(self, token_id: str) -> None:
        """Writes that the token was used now, unless another thread is about to."""
        with self._lock:
            if token_id in self._noting:
                return
            self._noting.add(token_id)
        try:
            with self._database.engine.begin() as connection:  # no unit of work of the caller's
                connection.execute(update(Token).where(Token.id == token_id).values(last_used_at=datetime.now(UTC)))
        finally:
            with self._lock:
                self._noting.discard(token_id)
