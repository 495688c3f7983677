"""Tokens. The token itself is shown once and never kept."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class Token(Base):
    """A bearer token by the hash of it."""

    __tablename__ = "tokens"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]
