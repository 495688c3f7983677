"""An orderly end: SIGINT and SIGTERM are noted, and obeyed where nothing is left half done.

Errors:
    Stopped (Exception)   somebody asked the process to end
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Somebody asked the process to end."""


class Stop:
    """Whether the process was asked to end. A second signal ends it at once."""

    def __init__(self) -> None:
        self.signal: int | None = None  # the one that asked for it
        self._sleeping = False

    def check(self) -> None:
        """Raises Stopped where the process was asked to end."""
        if self.signal is not None:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Waits; raises Stopped as soon as the process is asked to end. For the main thread."""
        self.check()
        self._sleeping = True
        try:
            time.sleep(seconds)
        finally:
            self._sleeping = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listens to SIGINT and SIGTERM."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def ask(number: int, _frame: FrameType | None) -> None:
            self.signal = number
            restore()
            if self._sleeping:  # an event that is waited for could not be set from here without the risk of a deadlock
                raise Stopped

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            restore()
