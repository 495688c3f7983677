"""The outbox: what webhooks are to be told is a row of the very unit of work in which it happened.

So there is no change of state that nobody is told of, and none is told that was undone. Workers write here too.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.session import at, db_now
from api.ids import new_id
from api.jobs.models import SearchJob
from api.webhooks.models import PENDING, Webhook, WebhookDelivery

PING = "ping"


def announce(session: Session, job: SearchJob, state: str, more: dict[str, Any]) -> None:
    """Queues a message to each webhook of the job's owner that wants to hear of `state`; `more` is what the event of it
    says beside. The job's row is locked and the event already numbered.
    """
    # A webhook that is being removed is waited for: a delivery of one that is gone would undo the job's own work.
    of_owner = select(Webhook).where(Webhook.owner == job.owner).with_for_update(read=True, key_share=True)
    wanting = [webhook for webhook in session.scalars(of_owner) if state in webhook.events]
    data = {
        "job": job.id, "name": job.name, "owner": job.owner, "labels": job.spec.get("labels", {}), "state": state,
        "attempt": job.attempt, "event": job.last_event_id, "reason": more.get("reason"),
        "architecture": more.get("architecture"), "error": job.error,
    }  # fmt: skip
    for webhook in wanting:
        queue(session, webhook, f"search-job.{state}", data, job_id=job.id)


def queue(
    session: Session, webhook: Webhook, event: str, data: dict[str, Any], *, job_id: str | None = None
) -> WebhookDelivery:
    """Queues one message; it goes out once this unit of work is committed."""
    now = db_now(session)
    delivery = WebhookDelivery(
        id=new_id("msg"), webhook_id=webhook.id, event=event, job_id=job_id, body=_body(event, at(now), data),
        state=PENDING, attempts=0, next_try_us=now, claim=None, claimed_until_us=0, tries=[], created_at=at(now),
        ended_at=None,
    )  # fmt: skip
    session.add(delivery)
    return delivery


def _body(event: str, now: datetime, data: dict[str, Any]) -> str:
    """As it is signed and sent, each time the same (Standard Webhooks, payload structure)."""
    return json.dumps({"type": event, "timestamp": now.isoformat(), "data": data}, allow_nan=False)
