"""Idempotency keys: what was sent twice is made once.

Errors:
    KeyReused (DomainError)   409  idempotency-key-reused: the same key with another body
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.base import Base
from api.errors import DomainError, FieldProblem


class Keyed(Base):
    """A row that its owner may have made under a key. Its table needs a unique constraint on (owner, key)."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    idempotency_key: Mapped[str | None]
    idempotency_hash: Mapped[str | None]


Row = TypeVar("Row", bound=Keyed)


class KeyReused(DomainError):
    """The Idempotency-Key was used with another body."""

    status = 409
    slug = "idempotency-key-reused"
    title = "Idempotency-Key reused"


def body_hash(document: Any) -> str:
    """What a JSON document is told apart by, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def made_before(
    session: Session, model: type[Row], owner: str, key: str | None, digest: str,
    is_of_body: Callable[[Row], bool] = lambda _: False,
) -> Row | None:  # fmt: skip
    """The row that `owner` made under `key`, if any; raises KeyReused where it came of another body than `digest`.

    A version that adds a field with a default gives the same body another digest: then `is_of_body` is asked too.
    """
    if key is None:
        return None
    mine = select(model).where(model.owner == owner, model.idempotency_key == key)
    row = session.scalars(mine).one_or_none()
    if row is not None and row.idempotency_hash != digest and not is_of_body(row):
        raise KeyReused(
            f"The Idempotency-Key was used for {row.id}, which was asked for with another body.",
            errors=[FieldProblem("Idempotency-Key", "belongs to another body: take a new key")],
        )
    return row
