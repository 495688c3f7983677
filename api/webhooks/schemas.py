"""Webhooks as people ask for them and as the API shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.jobs.schemas import State
from search.document import Document


class NewWebhook(Document):
    """A webhook to make. `events` are the states of jobs that it is told of."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    events: Annotated[tuple[State, ...], Field(min_length=1, max_length=6)] = ("succeeded", "failed", "cancelled")
    description: Annotated[str, Field(max_length=2000)] = ""


class WebhookView(BaseModel):
    """Where an owner's jobs are told of: all but the secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    owner: str
    url: str
    events: list[State]
    description: str
    created_at: datetime


class MadeWebhook(WebhookView):
    """A webhook that was just made. `secret` is shown this once."""

    secret: str


class TryView(BaseModel):
    """One sending: the receiver's status, or why there is none."""

    at: datetime
    status: int | None
    error: str | None
    milliseconds: int


class DeliveryView(BaseModel):
    """A message to a webhook. `id` is its webhook-id, `payload` what is sent, `attempts` how often since it was queued,
    or queued again; `tries` are the newest ones, `next_try_at` is null at its end.
    """

    id: str
    event: str
    job: str | None
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_try_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    tries: list[TryView]
    payload: dict[str, Any]
