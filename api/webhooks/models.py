"""Webhooks and the outbox of their deliveries."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from api.db.base import Base

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"


class Webhook(Base):
    """Where the jobs of `owner` are told of. `events` are the states of jobs that it wants to hear of. `secret` signs,
    so it is kept as it is; it is read where something is sent, and nowhere else.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "owner"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    url: Mapped[str]
    description: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str] = mapped_column(deferred=True)
    created_at: Mapped[datetime]


class WebhookDelivery(Base):
    """A message on its way, or at its end. Its `id` is what the receiver tells messages apart by; `job_id` is None for
    a ping. Times that end in `_us` are epoch microseconds of the database's clock.

    `attempts` counts sendings since it was queued, or queued again; `tries` tells of the newest ones. While it is sent
    `claim` is the right of one postman to say how that ended, until `claimed_until_us`.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index(None, "state", "next_try_us"), Index(None, "webhook_id", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    event: Mapped[str]
    job_id: Mapped[str | None]
    body: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    next_try_us: Mapped[int]
    claim: Mapped[str | None]
    claimed_until_us: Mapped[int]
    tries: Mapped[list[Any]]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
