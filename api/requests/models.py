"""Requests to devices."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.idempotency import Keyed

KINDS = ("profile", "calibrate", "verify", "time")
QUEUED, RUNNING = "queued", "running"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
STATES = (QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED)
FINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})


class DeviceRequest(Keyed):
    """Something to be done on a device. `number` counts a device's requests from 1: the order in which they are done.

    `spec` is a document of its `kind` in `api.requests.schemas`, `result` a `Result`. `attempt` counts claims; with
    `agent`, the one that claimed last, it fences all that an agent writes. `lost_attempts` counts leases that ran out;
    `lease_expires_us` is epoch microseconds of the database's clock. `wish` is what its user asked of a running one: ""
    or "cancel".
    """

    __tablename__ = "device_requests"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        UniqueConstraint("device_id", "number"),
        Index(None, "device_id", "state"),
        Index(None, "state", "lease_expires_us"),  # the sweeper's look
    )

    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    number: Mapped[int]
    kind: Mapped[str]
    spec: Mapped[dict[str, Any]]
    state: Mapped[str]
    wish: Mapped[str]
    progress: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    agent: Mapped[str | None]
    attempt: Mapped[int]
    lost_attempts: Mapped[int]
    lease_expires_us: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
