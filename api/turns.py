"""How many requests may do at once what takes a core for long: the others wait a while, and then come again.

Without, as many requests as there are threads would hold them all, and nothing else would be answered.

Errors:
    TooBusy (DomainError)   503  too-busy: `retry_after_seconds`, and Retry-After
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import ClassVar

from api.errors import DomainError

_AGAIN_SECONDS = 10


class TooBusy(DomainError):
    """Others do the same at this moment."""

    status: ClassVar[int] = 503
    slug = "too-busy"
    title: ClassVar[str] = "Too busy"


class Turns:
    """Lets `most` at once do `what`, in this process; who comes then waits for `wait_seconds`."""

    def __init__(self, what: str, *, most: int, wait_seconds: float) -> None:
        self._what, self._wait_seconds = what, wait_seconds
        self._free = BoundedSemaphore(most)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around what is done. Raises TooBusy."""
        if not self._free.acquire(timeout=self._wait_seconds):
            told = f"This process {self._what} for others at this moment: try again in {_AGAIN_SECONDS} s."
            raise TooBusy(told, retry_after_seconds=_AGAIN_SECONDS)
        try:
            yield
        finally:
            self._free.release()
