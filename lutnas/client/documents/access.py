"""Tokens, webhooks and the trail of writes."""

from typing import Literal, TypedDict

from lutnas.client.documents.document import Document
from lutnas.client.documents.jobs import State


class Token(TypedDict):
    """A token, all but its secret. `device` is the one that it is for, `made_by` the id of the token that asked."""

    id: str
    owner: str
    name: str
    scopes: list[str]
    teams: list[str]
    device: str | None
    made_by: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class MadeToken(Token):
    """A token that was just made, with its secret."""

    secret: str


class Webhook(TypedDict):
    """Where an owner's jobs are told of; `events` are the states of jobs that are told."""

    id: str
    owner: str
    url: str
    events: list[State]
    description: str
    created_at: str


class MadeWebhook(Webhook):
    """A webhook that was just made, with its secret."""

    secret: str


class Delivery(TypedDict):
    """A message to a webhook: `tries` tell the status or the error of each sending, newest last."""

    id: str
    event: str
    job: str | None
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_try_at: str | None
    created_at: str
    ended_at: str | None
    tries: list[Document]
    payload: Document


class AuditEntry(TypedDict):
    """One write, or one that was refused. `request_id` is the X-Request-Id of its answer."""

    id: str
    at: str
    token_id: str
    owner: str
    method: str
    route: str
    object_id: str | None
    status: int
    request_id: str
