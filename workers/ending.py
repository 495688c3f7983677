"""How an attempt ends: by order, or because there is no store to load from; and what metrics call its end."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from api.artifacts.store import StoreAway
from api.db.session import is_away
from api.jobs.lease import LeaseLost
from workers.storing import is_full

# What a share tells that fails, or is no longer there, in the middle of a file.
_FAILS = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENODEV})


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
    """The store that has the job's inputs, or its checkpoint, does not answer, or there is no room here for them. It is
    not the job's fault.
    """

    def __init__(self, why: Exception) -> None:
        super().__init__("queued", f"its files could not be loaded: {why}")


@contextmanager
def from_the_store() -> Iterator[None]:
    """What is loaded inside is there, or a store that is away, a share that says that it fails while it is read, or a
    disk without room ends the attempt as Unloaded.
    """
    try:
        yield
    except StoreAway as away:
        raise Unloaded(away) from away
    except OSError as error:
        if not is_full(error) and error.errno not in _FAILS:
            raise
        raise Unloaded(error) from error


def outcome_of(error: Exception | None) -> str:
    """What became of an attempt that ended by `error`, as the metrics name it."""
    if error is None:
        return "succeeded"
    if isinstance(error, Stopped):
        return error.becomes
    if is_away(error):
        return "database-away"
    return "lease-lost" if isinstance(error, LeaseLost) else "failed"
