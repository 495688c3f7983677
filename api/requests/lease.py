"""The agent's door: what the agent of a device does to a request, each write fenced by the lease.

The caller commits. A lease is (request, attempt, agent): once the request was claimed again, or is no longer running,
nothing that the old one says is taken. One that ran out while nobody else asked is as good as new with the next
heartbeat: an outage of the service costs no work. The row of the device is the lock of its queue; it is taken before
that of a request.

What an agent may send again because the answer was lost gives the same answer again: a claim, while its lease holds,
and what ended its attempt.

Errors:
    LeaseLost (DomainError)   409  lease-lost: the request is no longer this attempt's: stop, and leave it alone
"""

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.db.session import after_commit, at, db_now
from api.devices.models import Device
from api.errors import DomainError, problem
from api.requests import outcome
from api.requests.models import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, DeviceRequest
from api.requests.schemas import Fail, Finish, Heartbeat, Holder
from api.telemetry.metrics import LEASE_EXPIRIES

_FRESH = {"populate_existing": True}


class LeaseLost(DomainError):
    """The request is no longer this attempt's."""

    status = 409
    slug = "lease-lost"
    title = "Lease lost"


def lock_queue(session: Session, device: Device) -> None:
    """Holds the device's queue until the unit of work ends: on Postgres by a row lock, on SQLite by the one writer."""
    session.scalars(select(Device.id).where(Device.id == device.id).with_for_update()).one()


def locked(session: Session, request_id: str) -> DeviceRequest:
    """The row of a request that is there, held until the unit of work ends."""
    statement = select(DeviceRequest).where(DeviceRequest.id == request_id).with_for_update()
    return session.scalars(statement, execution_options=_FRESH).one()


def claim(
    session: Session, device: Device, *, agent: str, lease_seconds: float, max_attempts: int = 3
) -> DeviceRequest | None:
    """The oldest queued request of `device`, now leased to `agent`. None: there is none, or another agent is at work.

    One whose lease ran out is queued again before; after `max_attempts` such attempts it fails instead. An agent that
    holds a lease gets the same request again.
    """
    lock_queue(session, device)
    now = db_now(session)
    running = _of_queue(session, device, RUNNING)
    if running is not None:
        if not is_expired(running, now):
            if running.agent != agent:
                return None
            running.lease_expires_us = now + _microseconds(lease_seconds)
            return running
        after_commit(session, LEASE_EXPIRIES.labels(kind="device-request").inc)
        expire(running, now, max_attempts)
        session.flush()
    request = _of_queue(session, device, QUEUED)
    if request is None:
        return None
    request.state, request.agent, request.progress = RUNNING, agent, {}
    request.attempt += 1
    request.lease_expires_us = now + _microseconds(lease_seconds)
    request.started_at = request.started_at or at(now)
    about(session, request.id)
    return request


def heartbeat(
    session: Session, request: DeviceRequest, beat: Heartbeat, lease_seconds: float
) -> Literal["continue", "cancel"]:
    """Keeps the lease of a locked request for `lease_seconds` from now, and brings back what its user wants. Raises
    LeaseLost.
    """
    _fence(request, beat, RUNNING)
    request.lease_expires_us = db_now(session) + _microseconds(lease_seconds)
    request.progress = beat.model_dump(exclude={"agent", "attempt"}, exclude_none=True)
    return "cancel" if request.wish == "cancel" else "continue"


def finish(session: Session, request: DeviceRequest, finished: Finish) -> None:
    """Ends a locked request with what came of it, or as cancelled where its user asked for that before: a job may have
    asked anew meanwhile, and counts on one answer. Raises LeaseLost, ResultRefused.
    """
    if _fence(request, finished, RUNNING, SUCCEEDED, CANCELLED) != RUNNING:
        return
    if request.wish == "cancel":
        end(request, CANCELLED, db_now(session))
        return
    outcome.check(session, request, finished.result)
    request.result = finished.result.model_dump(exclude_none=True)
    end(request, SUCCEEDED, db_now(session))


def fail(session: Session, request: DeviceRequest, failed: Fail) -> None:
    """Ends a locked request that cannot be answered. Raises LeaseLost."""
    if _fence(request, failed, RUNNING, FAILED) == FAILED:
        return
    request.error = problem(slug="agent-failed", title="Agent failed", status=500, detail=failed.detail)
    end(request, FAILED, db_now(session))


def release(session: Session, request: DeviceRequest, holder: Holder) -> None:
    """Gives a locked request back: queued at its old place, or cancelled where its user asked for that. The attempt
    does not count as lost. Raises LeaseLost.
    """
    if _fence(request, holder, RUNNING, QUEUED, CANCELLED) == RUNNING:
        _let_go(request, db_now(session))


def is_expired(request: DeviceRequest, now: int) -> bool:
    """Whether the lease of a running request has run out."""
    return request.lease_expires_us is None or request.lease_expires_us <= now


def expire(request: DeviceRequest, now: int, max_attempts: int) -> None:
    """Takes a locked request from an agent that fell silent."""
    request.lost_attempts += 1
    if request.lost_attempts < max_attempts or request.wish == "cancel":
        _let_go(request, now)
        return
    request.error = problem(
        slug="agents-lost", title="Agents lost", status=500,
        detail=f"{request.lost_attempts} times an agent fell silent while it worked on this request, the last time "
        f"{request.agent}. Look at what `lutnas agent` says on the device; memory that ran out is the usual cause.",
    )  # fmt: skip
    end(request, FAILED, now)


def end_cancelled(session: Session, now: int) -> None:
    """Ends requests that were to be cancelled while an agent was at work that has fallen silent since. Others whose
    agent fell silent wait for the next one, which learns of it when it asks.
    """
    silent = select(DeviceRequest).where(
        DeviceRequest.state == RUNNING, DeviceRequest.wish == "cancel", DeviceRequest.lease_expires_us <= now
    )
    for request in session.scalars(silent.with_for_update(skip_locked=True), execution_options=_FRESH).all():
        after_commit(session, LEASE_EXPIRIES.labels(kind="device-request").inc)
        end(request, CANCELLED, now)


def cancel(request: DeviceRequest, now: int) -> None:
    """Ends a locked request that is not at its end, where an agent is at work on it with that one's next heartbeat."""
    if request.state == RUNNING and not is_expired(request, now):
        request.wish = "cancel"
    else:
        end(request, CANCELLED, now)


def end(request: DeviceRequest, state: str, now: int) -> None:
    """Brings a locked request to its end."""
    request.state, request.wish, request.lease_expires_us = state, "", None
    request.finished_at = at(now)


def _let_go(request: DeviceRequest, now: int) -> None:
    if request.wish == "cancel":
        end(request, CANCELLED, now)
        return
    request.state, request.lease_expires_us = QUEUED, None


def _of_queue(session: Session, device: Device, state: str) -> DeviceRequest | None:
    """The oldest request of `device` in `state`, locked."""
    mine = select(DeviceRequest).where(DeviceRequest.device_id == device.id, DeviceRequest.state == state)
    oldest = mine.order_by(DeviceRequest.number).limit(1).with_for_update()
    return session.scalars(oldest, execution_options=_FRESH).one_or_none()


def _fence(request: DeviceRequest, holder: Holder, *states: str) -> str:
    """The state of the request, which has to be one of `states`; raises LeaseLost where the attempt is another's."""
    if request.state not in states or (request.agent, request.attempt) != (holder.agent, holder.attempt):
        raise LeaseLost(
            f"Attempt {holder.attempt} of {holder.agent} is over: {request.id} is {request.state} "
            f"in attempt {request.attempt}. Leave it alone, and claim the next one."
        )
    return request.state


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
