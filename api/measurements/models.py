"""Measured networks."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class MeasuredNetwork(Base):
    """One network of `space` as a device timed it, beside what `table_id` predicted, uncorrected. `layers` are
    documents of `search.architecture.LayerChoice`; `space` is the whole document, choices and all.
    """

    __tablename__ = "measured_networks"

    table_id: Mapped[str] = mapped_column(ForeignKey("tables.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    space: Mapped[str]
    layers: Mapped[list[Any]]
    latency_us: Mapped[float] = mapped_column(Float(53))
    p10_us: Mapped[float | None] = mapped_column(Float(53))
    p90_us: Mapped[float | None] = mapped_column(Float(53))
    samples: Mapped[int]
    predicted_us: Mapped[float] = mapped_column(Float(53))
    created_at: Mapped[datetime]
