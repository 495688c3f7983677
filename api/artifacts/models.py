"""Artifacts: the rows that make files real."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class Artifact(Base):
    """A file in the store. `job_id` is None for one that people brought, such as a data set."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"), Index(None, "owner"))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("search_jobs.id"))
    name: Mapped[str]
    path: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    media_type: Mapped[str]
    created_at: Mapped[datetime]
