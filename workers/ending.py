"""How an attempt ends: by order, or because there is no store to load from; and what metrics call its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy.exc import OperationalError

from api.artifacts.store import StoreAway
from api.jobs.lease import LeaseLost


class Stopped(Exception):
    """The attempt ends here by order; `becomes` is the state that the job is given back in."""

    def __init__(self, becomes: Literal["queued", "paused", "cancelled"], reason: str) -> None:
        super().__init__(reason)
        self.becomes: Literal["queued", "paused", "cancelled"] = becomes
        self.reason = reason


class PausedByUser(Stopped):
    """Its user asked for that, and may have taken it back by the time that the job is given back."""

    def __init__(self) -> None:
        super().__init__("paused", "paused by its user")


class Unloaded(Stopped):
    """The store that has the job's inputs, or its checkpoint, does not answer. It is not the job's fault."""

    def __init__(self, away: StoreAway) -> None:
        super().__init__("queued", f"its files could not be loaded: {away}")


@contextmanager
def from_the_store() -> Iterator[None]:
    """What is loaded inside is there, or a store that is away ends the attempt as Unloaded."""
    try:
        yield
    except StoreAway as away:
        raise Unloaded(away) from away


def outcome_of(error: Exception | None) -> str:
    """What became of an attempt that ended by `error`, as the metrics name it."""
    if error is None:
        return "succeeded"
    if isinstance(error, Stopped):
        return error.becomes
    return {LeaseLost: "lease-lost", OperationalError: "database-away"}.get(type(error), "failed")
