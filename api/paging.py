"""Lists in pages: an opaque cursor says where the next page begins, so that new items move nothing."""

import base64
import json
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.errors import FieldProblem, InvalidRequest

Key = str | int


def encode_cursor(key: Key) -> str:
    """The cursor of the page that begins after `key`."""
    return base64.urlsafe_b64encode(json.dumps([key]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[Key]) -> Key:
    """The key in a cursor; raises InvalidRequest for anything that `encode_cursor` did not make."""
    try:
        made = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except ValueError:
        made = None
    key = made[0] if isinstance(made, list) and len(made) == 1 else None
    if type(key) is not kind or (isinstance(key, int) and not 0 <= key < 2**63):
        wrong = FieldProblem("cursor", "is none of ours: take next_cursor of the page before, or leave it away")
        raise InvalidRequest("The cursor cannot be read.", errors=[wrong])
    return key


def page(
    session: Session,
    statement: Select[Any],
    key: InstrumentedAttribute[Any],
    *,
    cursor: str | None,
    limit: int,
    newest_first: bool = False,
) -> tuple[list[Any], str | None]:
    """Up to `limit` objects of `statement` in the order of the unique column `key`, and the cursor of the next page."""
    if cursor is not None:
        after = decode_cursor(cursor, int if isinstance(key.type, Integer) else str)
        beyond: ColumnElement[bool] = key < after if newest_first else key > after
        statement = statement.where(beyond)
    statement = statement.order_by(key.desc() if newest_first else key.asc()).limit(limit + 1)
    found = list(session.scalars(statement))
    if len(found) <= limit:
        return found, None
    return found[:limit], encode_cursor(getattr(found[limit - 1], key.key))
