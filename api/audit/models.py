"""The audit trail."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class AuditEntry(Base):
    """One write, or one that was refused. `owner` is on whose behalf it was asked, `route` the path with names for its
    ids, `object_id` what it made or changed. Neither secrets nor bodies are kept.
    """

    __tablename__ = "audit"
    __table_args__ = (Index(None, "object_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    token_id: Mapped[str]
    owner: Mapped[str]
    method: Mapped[str]
    route: Mapped[str]
    object_id: Mapped[str | None]
    status: Mapped[int]
    request_id: Mapped[str]
