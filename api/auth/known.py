"""Tokens that were good a moment ago: asking the database at every request would be half of the work of a small one."""

import time
from collections.abc import Callable, Collection
from datetime import datetime
from threading import Lock

from api.auth.callers import Caller

_MOST = 10_000


class KnownCallers:
    """Callers by the hashes of their secrets, for `seconds`. A token that another process took back, or changed, is
    what it was here for no longer than that.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._callers: dict[str, tuple[Caller, float]] = {}
        self._lock = Lock()
        self.forgotten = 0  # how often tokens were taken back: who asked the database before may not know

    def find(self, token_hash: str, now: datetime) -> Caller | None:
        """Who showed this token a moment ago, if it is still good."""
        found, until = self._callers.get(token_hash, (None, 0.0))
        if found is None or self._clock() >= until or (found.expires_at is not None and found.expires_at <= now):
            return None
        return found

    def keep(self, token_hash: str, caller: Caller, forgotten: int) -> None:
        """Remembers who showed it, unless a token was taken back since `forgotten` was read, before the database was
        asked.
        """
        if self._seconds:
            with self._lock:
                if forgotten != self.forgotten:
                    return
                if len(self._callers) >= _MOST:
                    self._callers.clear()
                self._callers[token_hash] = (caller, self._clock() + self._seconds)

    def forget(self, token_ids: Collection[str]) -> None:
        """Asks the database at the next request: the tokens were taken back."""
        with self._lock:
            self.forgotten += 1
            self._callers = {key: kept for key, kept in self._callers.items() if kept[0].token_id not in token_ids}
