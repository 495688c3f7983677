"""Derivations that a request waits for: bounded in time, and in how many run at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.turns import Turns
from search.budget import within

DERIVE_SECONDS = 30.0  # of an answer that somebody waits for; most take some hundredths
_TURNS = Turns("derives", most=4, wait_seconds=5.0)


@contextmanager
def deriving() -> Iterator[None]:
    """Around all that a request derives. Raises TooHard, TooBusy."""
    with _TURNS.taken(), within(DERIVE_SECONDS):
        yield
