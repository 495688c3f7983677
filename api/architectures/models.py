"""Derived architectures."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class DerivedArchitecture(Base):
    """What a search gave. `layers` are rows of `api.architectures.layers`, `predicted` of `api.jobs.figures`,
    `measured` documents of `api.architectures.schemas.MeasuredLatency`.
    """

    __tablename__ = "architectures"
    __table_args__ = (UniqueConstraint("job_id"), Index(None, "owner"))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("search_jobs.id"))
    space: Mapped[str]
    candidates: Mapped[list[Any]]
    predicted_latency_us: Mapped[dict[str, Any]]
    predicted: Mapped[list[Any]]
    test_accuracy: Mapped[float | None] = mapped_column(Float(53))
    layers: Mapped[list[Any]]
    measured: Mapped[list[Any]]
    created_at: Mapped[datetime]
