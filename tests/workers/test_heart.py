"""A heart at work: it outlives a database that is away."""

import threading

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from api.db.session import Database
from api.jobs.lease import Order
from workers.heart import Heart


class Stumbling(Heart):
    """One whose first beats meet a database in a switch-over."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "job", lease_seconds=0.04)
        away: tuple[type[DBAPIError], ...] = (OperationalError, InternalError, InterfaceError)
        self.errors = [kind("UPDATE", {}, Exception("in a read-only transaction")) for kind in away]
        self.has_beaten = threading.Event()

    def _beat(self, session: Session) -> Order:
        if self.errors:
            raise self.errors.pop()
        self.has_beaten.set()
        return Order.PAUSE


def test_a_database_that_is_away_for_a_while_stops_no_heart(database: Database) -> None:
    with Stumbling(database) as heart:
        assert heart.has_beaten.wait(60)
    assert heart.order is Order.PAUSE
