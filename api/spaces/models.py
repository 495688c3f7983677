"""Search spaces that people brought. The presets are files of the package `search`."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class SearchSpace(Base):
    """A space, immutable: `document` is a `search.space.Space`."""

    __tablename__ = "spaces"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
