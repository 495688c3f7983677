"""Heartbeats: a thread keeps the lease while the main thread works, and hears whether to go on.

Errors:
    Cancelled (Exception)   the request's user cancelled it
    Lost (Exception)        the request is another agent's by now, or gone
"""

import logging
import threading
from collections.abc import Callable
from typing import Self

from lutnas.client.documents import Document
from lutnas.client.errors import LutnasError, ProblemError

_logger = logging.getLogger(__name__)
TAKEN = (404, 409)  # what the service answers an attempt that is over
LONGEST_PAUSE = 5.0  # seconds between two heartbeats: how late a cancellation may be seen, and how old progress is


class Cancelled(Exception):
    """The request's user cancelled it."""


class Lost(Exception):
    """The request is another agent's by now, or gone."""


class Heart:
    """Sends `beat(progress)` at least three times in `lease_seconds`, between entering and leaving it.

    An outage of the service does not end it: the lease is as good as new with the next heartbeat that gets through,
    unless somebody took over.
    """

    def __init__(self, beat: Callable[[Document], str], lease_seconds: float) -> None:
        self.progress: Document = {}
        self._beat = beat
        self._pause = min(lease_seconds / 3, LONGEST_PAUSE)
        self._order = "continue"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raises Cancelled or Lost where the last heartbeat said so."""
        if self._order == "cancel":
            raise Cancelled
        if self._order == "lost":
            raise Lost

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                self._order = self._beat(self.progress)
            except ProblemError as error:
                if error.status in TAKEN:
                    self._order = "lost"
            except LutnasError:
                continue  # nobody answered: the next one may get through
            except Exception:
                _logger.warning("a heartbeat failed", exc_info=True)
            if self._order != "continue":
                return
