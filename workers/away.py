"""When a worker takes no job for a while: where the store did not give a job's files, and may be away for all jobs, and
where the database is of another version of lutnas.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from api.db.migrate import is_current
from api.db.session import Database

AWAY_SECONDS, LOOK_SECONDS = 30.0, 0.5
_logger = logging.getLogger(__name__)
# Jobs whose files the store did not give to this process, until it gives those of another: that one goes first, for a
# store may refuse one file for good.
not_loaded = deque[str](maxlen=1000)
# Jobs in whose comparison this process could not take part, until it can in that of another: that one goes first.
not_aided = deque[str](maxlen=1000)


def is_ours(database: Database) -> bool:
    """Whether the database is of this version: an upgrade may have left this worker behind, or not have come to it."""
    with database.read() as session:
        return is_current(session.connection())


def stay_away(
    why: str, drain: Callable[[], bool], clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:  # fmt: skip
    """Other workers may be better off meanwhile."""
    _logger.warning("%s: no job is taken for %g s", why, AWAY_SECONDS)
    until = clock() + AWAY_SECONDS
    while clock() < until and not drain():
        sleep(LOOK_SECONDS)
