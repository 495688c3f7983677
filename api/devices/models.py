"""Devices."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class Device(Base):
    """A device that people measure. `last_version` is that of its newest table."""

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    labels: Mapped[dict[str, Any]]
    last_version: Mapped[int]
    created_at: Mapped[datetime]
