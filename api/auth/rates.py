"""How often an owner's tokens may ask, all together: a bucket of tries for each owner, in this process."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from api.auth.errors import TooManyRequests

_MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    tries: float
    at: float  # seconds by the clock


class Rates:
    """Lets the tokens of an owner ask `per_minute` times a minute, evenly or at once: of single tokens there may be any
    number. Each process counts for itself.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._buckets: dict[str, _Bucket] = {}
        self._lock = Lock()

    def take(self, owner: str) -> None:
        """Counts one request; raises TooManyRequests."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(owner, _Bucket(self._most, now))
            bucket.tries = min(self._most, bucket.tries + (now - bucket.at) * self._most / 60)
            bucket.at = now
            if bucket.tries >= 1:
                bucket.tries -= 1
                self._forget_full(now)
                return
            wait = max(1, math.ceil((1 - bucket.tries) * 60 / self._most))
        told = f"The tokens of an owner may ask {self._most} times a minute: try again in {wait} s."
        raise TooManyRequests(told, retry_after_seconds=wait)

    def _forget_full(self, now: float) -> None:
        """A bucket that nobody took from for a minute is full: it says no more than none."""
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if now - bucket.at < 60}
