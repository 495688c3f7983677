"""Column types that take the same values on SQLite and on Postgres.

SQLite takes text with NUL and JSON with NaN, and gives times back without a zone; Postgres refuses and keeps. What
one of them refuses is refused here, before it reaches either.

Errors:
    Unstorable (ValueError)   a value that no store may take; SQLAlchemy wraps it in a StatementError
"""

import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from search.document import text_fault


class Unstorable(ValueError):
    """A value that no store may take."""


def check_text(text: str) -> None:
    """Raises Unstorable for text that Postgres refuses: NUL, or half a surrogate pair."""
    if (fault := text_fault(text)) is not None:
        raise Unstorable(fault)


def check_json(value: Any) -> None:
    """Raises Unstorable where `value` is not JSON: NaN, infinity, unstorable text, keys that are no text."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unstorable(f"JSON cannot hold {value}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Unstorable(f"JSON cannot have the key {key!r}")
            check_text(key)
            check_json(item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_json(item)
    elif not (value is None or isinstance(value, bool | int)):
        raise Unstorable(f"JSON cannot hold a {type(value).__name__}")


class StrictText(TypeDecorator[str]):
    """Text, compared byte by byte on both stores."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None:
            check_text(value)
        return value


class StrictJson(TypeDecorator[Any]):
    """JSON without NaN and without NUL. None is NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        check_json(value)
        return value


class UtcTime(TypeDecorator[datetime]):
    """A moment, in UTC; a time without a zone is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise Unstorable("a time needs a zone")
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise Unstorable("a time has to lie in the years 1 to 9999 in UTC") from error

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
