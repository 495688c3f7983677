"""Latency tables: one row a table, one row an operator of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base


class Table(Base):
    """An immutable table of a device. `rows` counts its operators. `calibration` is a `CalibrationView` of what was
    measured since.
    """

    __tablename__ = "tables"
    __table_args__ = (UniqueConstraint("device_id", "version"), UniqueConstraint("device_id", "content_hash"))

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    version: Mapped[int]
    content_hash: Mapped[str]
    rows: Mapped[int]
    device_name: Mapped[str]  # as the table itself says it: its hash counts it
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    threads: Mapped[int]
    batch: Mapped[int]
    measured_at: Mapped[datetime | None]
    note: Mapped[str]
    calibration: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]


class TableRow(Base):
    """One operator of a table: the columns of the upload. `operator_hash` is the operator in one value."""

    __tablename__ = "table_rows"
    __table_args__ = (UniqueConstraint("table_id", "operator_hash"),)

    table_id: Mapped[str] = mapped_column(ForeignKey("tables.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    operator_hash: Mapped[str]
    kind: Mapped[str]
    h: Mapped[int]
    w: Mapped[int]
    c_in: Mapped[int]
    c_mid: Mapped[int]
    c_out: Mapped[int]
    stride: Mapped[int]
    kernel: Mapped[int]
    groups: Mapped[int]
    weight_bits: Mapped[int]
    activation_bits: Mapped[int]
    sparsity: Mapped[float] = mapped_column(Float(53))
    pattern: Mapped[str]
    latency_us: Mapped[float] = mapped_column(Float(53))
    p10_us: Mapped[float | None] = mapped_column(Float(53))
    p90_us: Mapped[float | None] = mapped_column(Float(53))
    samples: Mapped[int]
    provenance: Mapped[str]
    energy_uj: Mapped[float | None] = mapped_column(Float(53))
