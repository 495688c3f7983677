"""The postman's side of the outbox: which messages are due, who takes each, and what becomes of it.

Two processes never send a message at once: a claim is a random word on the row, good for some seconds, and only who
holds it says how the sending ended. One that died in between leaves a claim that runs out, and the message is sent
again under the same id.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, undefer

from api.db.session import at, db_now
from api.webhooks.models import DELIVERED, FAILED, PENDING, Webhook, WebhookDelivery
from api.webhooks.sending import Outcome

BACK_OFF = 4  # each pause is that many times the one before
LONGEST_SECONDS = 12 * 3600.0
KEPT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that this process may send, and nobody else."""

    delivery_id: str
    claim: str
    url: str
    secret: str
    body: bytes
    seconds: int  # since 1970, by the database


def is_due(session: Session) -> bool:
    """Whether anything is to be sent now."""
    return session.scalars(_due(db_now(session)).limit(1)).first() is not None


def take(session: Session, *, claim_seconds: float, most: int, to_one: int) -> list[Letter]:
    """Claims up to `most` messages that are due, of one webhook up to `to_one`: of each owner the one that is longest
    due, then the second of each, and so on. However many webhooks one has, the others' messages go out beside theirs.
    """
    now = db_now(session)
    by_due = WebhookDelivery.next_try_us
    place = func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=by_due)
    placed = (
        _due(now)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .with_only_columns(WebhookDelivery.id, by_due, Webhook.owner, place.label("place"))
        .subquery()
    )
    turn = func.row_number().over(partition_by=placed.c.owner, order_by=placed.c.next_try_us)
    ranked = select(placed.c.id, turn.label("turn")).where(placed.c.place <= to_one).subquery()
    # Asked of the row itself once more: Postgres looks at that again where another process changed it meanwhile.
    due = _due(now).join(ranked, ranked.c.id == WebhookDelivery.id)
    due = due.order_by(ranked.c.turn, by_due).limit(most).with_for_update(skip_locked=True, of=WebhookDelivery)
    found = []
    for delivery in session.scalars(due).all():
        webhook = session.get_one(Webhook, delivery.webhook_id, options=[undefer(Webhook.secret)])
        delivery.claim, delivery.claimed_until_us = secrets.token_hex(8), now + round(claim_seconds * 1_000_000)
        delivery.attempts += 1
        body = delivery.body.encode()
        found.append(Letter(delivery.id, delivery.claim, webhook.url, webhook.secret, body, now // 1_000_000))
    return found


def record(session: Session, letter: Letter, outcome: Outcome, *, attempts: int, retry_seconds: float) -> str | None:
    """Notes how a sending ended: after `attempts` failures it stays failed, until then it is tried again, first after
    `retry_seconds`. Gives the state; None where the claim had run out and the message is another's.
    """
    held = select(WebhookDelivery).where(
        WebhookDelivery.id == letter.delivery_id, WebhookDelivery.claim == letter.claim
    )
    delivery = session.scalars(held.with_for_update()).one_or_none()
    if delivery is None:
        return None
    now = db_now(session)
    told: dict[str, Any] = {
        "at": at(now).isoformat(), "status": outcome.status, "error": outcome.error,
        "milliseconds": outcome.milliseconds,
    }  # fmt: skip
    delivery.tries = [*delivery.tries, told][-KEPT_TRIES:]
    delivery.claim, delivery.claimed_until_us = None, 0
    if outcome.is_taken or delivery.attempts >= attempts:
        delivery.state, delivery.ended_at = DELIVERED if outcome.is_taken else FAILED, at(now)
    else:
        pause = min(LONGEST_SECONDS, retry_seconds * BACK_OFF ** (delivery.attempts - 1))
        delivery.next_try_us = now + round(pause * 1_000_000)
    return delivery.state


def _due(now: int) -> Select[WebhookDelivery]:
    """Those of a webhook to which messages are on their way wait: its receiver may be one that does not answer."""
    is_pending = WebhookDelivery.state == PENDING
    spoken_to = select(WebhookDelivery.webhook_id).where(is_pending, WebhookDelivery.claimed_until_us > now)
    return select(WebhookDelivery).where(
        is_pending,
        WebhookDelivery.next_try_us <= now,
        WebhookDelivery.claimed_until_us <= now,
        WebhookDelivery.webhook_id.not_in(spoken_to),
    )
