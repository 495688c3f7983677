"""Webhooks, on the side of those who make them.

Errors:
    WebhookUnknown (NotFound)         404  unknown-webhook
    DeliveryUnknown (NotFound)        404  unknown-delivery
    TooManyWebhooks (DomainError)     409  too-many-webhooks
    DeliveryPending (DomainError)     409  delivery-pending
    UrlRefused (DomainError)          422  webhook-url-refused
"""

import json

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.auth.callers import Owner
from api.db.session import at, db_now, in_turn
from api.errors import DomainError, FieldProblem, NotFound
from api.ids import new_id
from api.paging import page
from api.webhooks.addresses import AddressRefused, check_url
from api.webhooks.models import PENDING, Webhook, WebhookDelivery
from api.webhooks.outbox import PING, queue
from api.webhooks.schemas import DeliveryView, NewWebhook
from api.webhooks.signing import new_secret

MOST = 50  # an owner: each of them is a request a change of state


class WebhookUnknown(NotFound):
    """No webhook of that id."""

    slug = "unknown-webhook"
    title = "Unknown webhook"


class DeliveryUnknown(NotFound):
    """The webhook has no delivery of that id."""

    slug = "unknown-delivery"
    title = "Unknown delivery"


class TooManyWebhooks(DomainError):
    """The owner has as many as it may."""

    status = 409
    slug = "too-many-webhooks"
    title = "Too many webhooks"


class DeliveryPending(DomainError):
    """What is asked for is on its way already."""

    status = 409
    slug = "delivery-pending"
    title = "Delivery pending"


class UrlRefused(DomainError):
    """Nothing is sent there."""

    status = 422
    slug = "webhook-url-refused"
    title = "URL refused"


def create(session: Session, owner: Owner, new: NewWebhook, *, private: bool) -> tuple[Webhook, str]:
    """A webhook of `owner`, and its secret. Raises UrlRefused, TooManyWebhooks."""
    try:
        check_url(new.url, private=private)
    except AddressRefused as refused:
        wrong = FieldProblem("url", str(refused))
        raise UrlRefused(f"Nothing is sent to {new.url!r}: it {refused}.", errors=[wrong]) from refused
    in_turn(session, f"webhooks of {owner.name}")
    count = select(func.count()).select_from(Webhook).where(Webhook.owner == owner.name)
    if (session.scalar(count) or 0) >= MOST:
        raise TooManyWebhooks(f"{owner.name} has {MOST} webhooks, and may have no more: remove one.")
    secret = new_secret()
    webhook = Webhook(
        id=new_id("whk"), owner=owner.name, url=new.url, description=new.description,
        events=list(dict.fromkeys(new.events)), secret=secret, created_at=at(db_now(session)),
    )  # fmt: skip
    session.add(webhook)
    session.flush()
    about(session, webhook.id)
    return webhook, secret


def get(session: Session, owner: Owner, webhook_id: str, *, lock: bool = False) -> Webhook:
    """A webhook that `owner` sees; raises WebhookUnknown."""
    webhook = session.get(Webhook, webhook_id, with_for_update=True if lock else None)
    if webhook is None or not owner.sees(webhook.owner):
        raise WebhookUnknown(f"There is no webhook {webhook_id!r}: `GET /v1/webhooks` lists yours.")
    return webhook


def list_page(session: Session, owner: Owner, *, cursor: str | None, limit: int) -> tuple[list[Webhook], str | None]:
    """The webhooks that `owner` sees, newest first."""
    mine = select(Webhook).where(Webhook.owner.in_(owner.visible))
    return page(session, mine, Webhook.id, cursor=cursor, limit=limit, newest_first=True)


def remove(session: Session, owner: Owner, webhook_id: str) -> None:
    """Removes a webhook and what was to be told to it, at once. Raises WebhookUnknown."""
    webhook = get(session, owner, webhook_id, lock=True)  # first: no message is queued for it meanwhile
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id))
    session.delete(webhook)


def ping(session: Session, owner: Owner, webhook_id: str) -> WebhookDelivery:
    """Queues a message that says nothing, to try the way, one at a time. Raises WebhookUnknown, DeliveryPending."""
    webhook = get(session, owner, webhook_id, lock=True)
    waiting = select(WebhookDelivery.id).where(
        WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.event == PING, WebhookDelivery.state == PENDING
    )
    if (first := session.scalars(waiting.limit(1)).first()) is not None:
        raise DeliveryPending(f"The ping {first} of {webhook.id} is not at its end: redeliver that to try it at once.")
    delivery = queue(session, webhook, PING, {"webhook": webhook.id})
    session.flush()
    return delivery


def list_deliveries(
    session: Session, owner: Owner, webhook_id: str, *, cursor: str | None, limit: int
) -> tuple[list[WebhookDelivery], str | None]:
    """What was and is to be told to a webhook, newest first. Raises WebhookUnknown."""
    webhook = get(session, owner, webhook_id)
    told = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    return page(session, told, WebhookDelivery.id, cursor=cursor, limit=limit, newest_first=True)


def redeliver(session: Session, owner: Owner, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Queues a message once more, under its id, with all attempts before it; one that waits for its next try has it at
    once. Raises WebhookUnknown, DeliveryUnknown, DeliveryPending.
    """
    webhook = get(session, owner, webhook_id)
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.webhook_id != webhook.id:
        raise DeliveryUnknown(f"{webhook.id} has no delivery {delivery_id!r}: `deliveries` of the webhook lists them.")
    now = db_now(session)
    if delivery.state == PENDING and (delivery.next_try_us <= now or delivery.claimed_until_us > now):
        raise DeliveryPending(f"The delivery {delivery.id} is on its way: ask again once that try is told of.")
    delivery.state, delivery.attempts, delivery.ended_at = PENDING, 0, None
    delivery.next_try_us = now
    return delivery


def view(delivery: WebhookDelivery) -> DeliveryView:
    """What the API says of a delivery."""
    due = at(delivery.next_try_us) if delivery.state == PENDING else None
    return DeliveryView.model_validate(
        {
            "id": delivery.id, "event": delivery.event, "job": delivery.job_id, "state": delivery.state,
            "attempts": delivery.attempts, "next_try_at": due, "created_at": delivery.created_at,
            "ended_at": delivery.ended_at, "tries": delivery.tries, "payload": json.loads(delivery.body),
        }
    )  # fmt: skip
