"""Tokens. The secret itself is shown once and never kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class Token(Base):
    """A bearer token, found by the hash of its secret. `scopes` and `teams` are lists of text.

    `device_id` is the one device that an agent's token is for, `made_by` the token that asked for this one: NULL where
    the service made it for its operator. `last_used_at` is written now and then.
    """

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("sha256"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    owner: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    teams: Mapped[list[Any]]
    device_id: Mapped[str | None] = mapped_column(ForeignKey("devices.id"))
    made_by: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
