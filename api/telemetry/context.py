"""What is known of the work at hand, so that each line of the log can say it.

It is one dict for a request or an attempt, held by a context variable: what a thread of the pool learns of the request
(a token's id) is there for the line that the event loop writes at its end.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[dict[str, str | int] | None] = ContextVar("work at hand", default=None)


@contextmanager
def work(**known: str | int) -> Iterator[None]:
    """All that is logged inside tells `known`, and what is learnt on the way. Ids only, never a secret."""
    before = _current.set({**facts(), **known})
    try:
        yield
    finally:
        _current.reset(before)


def learn(**known: str | int) -> None:
    """Adds to what is known of the work at hand; without any it does nothing."""
    current = _current.get()
    if current is not None:
        current.update(known)


def facts() -> Mapping[str, str | int]:
    """What is known here."""
    return _current.get() or {}
