"""The trail that a request leaves.

A write is told in its own unit of work: there is no write without its row, and no row of one that was undone. The
status is then the one that the route answers with; where it answers otherwise the row is put right afterwards. What
the token may not do (403, 404) and what failed here (500) has no unit of work, and a row of its own. Not told are
documents that were refused as they stood, requests without a known token, those above the rate of one, and heartbeats
of agents, which say nothing but that they live.
"""

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit.models import AuditEntry
from api.db.session import Database, after_commit
from api.ids import new_id

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_QUIET = frozenset({"/v1/device-requests/{request_id}/heartbeat"})
_LONGEST_ID = 200
_OBJECT, _OTHERS = "audited_object", "audited_others"
_logger = logging.getLogger(__name__)


@dataclass
class Trail:
    """What is known of a request on its way. `kept` is the id of the row that tells of it, once that is committed."""

    scope: Scope
    token_id: str | None = None
    owner: str = ""
    kept: str | None = None
    kept_status: int = 0

    @property
    def route(self) -> str:
        """The path with names for its ids."""
        return str(self.scope["route"].path)

    def entry(self, status: int, object_id: str | None) -> AuditEntry:
        """The row."""
        assert self.token_id is not None
        return AuditEntry(
            id=new_id("aud"), at=datetime.now(UTC), token_id=self.token_id, owner=self.owner,
            method=self.scope["method"], route=self.route, object_id=object_id or self._named(), status=status,
            request_id=self.scope["request_id"],
        )  # fmt: skip

    def keep(self, entry: AuditEntry) -> None:
        """The unit of work with the row is committed."""
        self.kept, self.kept_status = entry.id, entry.status

    def _named(self) -> str | None:
        """The id in the path, which may be anything where it was refused."""
        named = [str(value) for value in self.scope.get("path_params", {}).values()]
        shown = "".join(letter for letter in named[0] if letter.isprintable()) if named else ""
        return shown[:_LONGEST_ID] or None


_current: ContextVar[Trail | None] = ContextVar("trail", default=None)


def about(session: Session, object_id: str) -> None:
    """Tells which object the unit of work makes, where the path does not name it."""
    session.info[_OBJECT] = object_id


def also_about(session: Session, object_ids: Sequence[str]) -> None:
    """Tells of further objects that the unit of work changes as it does the one in the path: each has a row."""
    session.info[_OTHERS] = [*session.info.get(_OTHERS, ()), *object_ids]


def known(token_id: str, owner: str) -> None:
    """Tells who asks; a request that only reads leaves no trail."""
    trail = _current.get()
    if trail is not None:
        trail.token_id, trail.owner = token_id, owner


def witness(session: Session) -> None:
    """Adds the row to a unit of work that changed something, where a request did."""
    trail = _current.get()
    if trail is None or trail.token_id is None or trail.kept is not None or trail.route in _QUIET:
        return
    entry = trail.entry(trail.scope["route"].status_code or 200, session.info.get(_OBJECT))
    session.add(entry)
    session.add_all(trail.entry(entry.status, other) for other in session.info.get(_OTHERS, ()))
    after_commit(session, lambda: trail.keep(entry))


class Trails:
    """Lets each request that writes leave its trail."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WRITES:
            await self.app(scope, receive, send)
            return
        trail, status = Trail(scope), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        before = _current.set(trail)
        try:
            await self.app(scope, receive, watched)
        finally:
            _current.reset(before)
            if _lacks(trail, status):
                await run_in_threadpool(_put_right, scope["app"].state.service.database, trail, status)


def _lacks(trail: Trail, status: int) -> bool:
    if trail.token_id is None or trail.route in _QUIET:
        return False
    if trail.kept is not None:
        return status != trail.kept_status
    return status in (403, 404) or status >= 500


def _put_right(database: Database, trail: Trail, status: int) -> None:
    """The answer is out already: what fails here can only be logged."""
    try:
        with database.write() as session:
            if trail.kept is None:
                session.add(trail.entry(status, None))
            else:
                row = update(AuditEntry).where(AuditEntry.id == trail.kept)
                session.execute(row.values(status=status))
    except Exception:
        _logger.exception("the audit trail lacks %s %s with %d", trail.scope["method"], trail.route, status)
