"""What jobs ask of devices themselves: found again by the job, and withdrawn with it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.session import db_now
from api.jobs.models import SearchJob
from api.requests.lease import cancel
from api.requests.models import QUEUED, RUNNING, SUCCEEDED, DeviceRequest
from api.tables.models import Table


def key_of(job_id: str, what: str, number: int) -> str:
    """Idempotency key of the request `number` of a job about `what`."""
    return f"{_prefix(job_id, what)}{number}"


def answer_to(session: Session, job_id: str, what: str, device_id: str) -> dict[str, Any] | None:
    """The result of what the job asked the device about `what`; None where it has none."""
    asked = select(DeviceRequest.result).where(
        DeviceRequest.device_id == device_id,
        DeviceRequest.idempotency_key.startswith(_prefix(job_id, what), autoescape=True),
        DeviceRequest.state == SUCCEEDED,
    )
    return session.scalars(asked).first()


def _prefix(*words: str) -> str:
    return "".join(f"{word} " for word in words)


def withdraw(session: Session, job: SearchJob) -> None:
    """Ends what the job asked and nobody waits for any more; an agent that is at work hears it with its next beat.
    The devices may be another's than the job: who repeats a job of a team asks the team's.
    """
    if job.spec.get("on_device") is None:
        return
    tables = [pin["table"] for pin in job.pins["tables"]]
    asked = select(DeviceRequest).where(
        DeviceRequest.device_id.in_(select(Table.device_id).where(Table.id.in_(tables))),
        DeviceRequest.idempotency_key.startswith(_prefix(job.id), autoescape=True),
        DeviceRequest.state.in_((QUEUED, RUNNING)),
    )
    in_turn = asked.order_by(DeviceRequest.device_id, DeviceRequest.number)  # as a claim locks them, or both might wait
    for request in session.scalars(in_turn.with_for_update()).all():
        cancel(request, db_now(session))
