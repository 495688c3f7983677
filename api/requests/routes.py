"""/v1/devices/{device}/requests and /v1/device-requests."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Response
from sqlalchemy.orm import Session

from api.auth.callers import Owner
from api.db.session import db_now
from api.dependencies import Cursor, DeviceReader, IdempotencyKey, Limit, Parts, Profiler, Service, Submitter
from api.devices import service as devices
from api.devices.models import Device
from api.pages import Page
from api.requests import lease
from api.requests import service as requests
from api.requests.models import DeviceRequest
from api.requests.schemas import (
    Asked,
    Claimant,
    ClaimView,
    Fail,
    Finish,
    Heartbeat,
    Holder,
    OrderView,
    RequestView,
)

router = APIRouter(prefix="/v1", tags=["device requests"])
NewRequest = Annotated[Asked, Body(discriminator="kind")]


def _view(session: Session, row: DeviceRequest) -> RequestView:
    return RequestView.of(row, session.get_one(Device, row.device_id).name, db_now(session))


@router.post("/devices/{device}/requests", status_code=201, responses={200: {"model": RequestView}})
def create_request(
    device: str,
    new: NewRequest,
    caller: Submitter,
    service: Parts,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RequestView:
    """Ask the agent of a device for something. Refused with all that is wrong at once."""
    with service.database.write() as session:
        asked = devices.get(session, caller.owner, device)
        row, created = requests.submit(session, asked, new, idempotency_key)
        answer = _view(session, row)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/device-requests/{answer.id}"
    return answer


@router.get("/devices/{device}/requests")
def list_requests(
    device: str, caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[RequestView]:
    """List what a device was asked for, newest first."""
    with service.database.read() as session:
        asked = devices.get(session, caller.owner, device)
        found, following = requests.list_page(session, asked, cursor=cursor, limit=limit)
        now = db_now(session)
        return Page(items=[RequestView.of(row, asked.name, now) for row in found], next_cursor=following)


@router.post("/devices/{device}/requests/claim", responses={204: {"description": "There is nothing to do now."}})
def claim_request(
    device: str, claimant: Claimant, caller: Profiler, service: Parts, response: Response
) -> ClaimView | None:
    """For agents: take the oldest queued request under a lease. 204 where there is none, or another agent is at work.

    Who holds a lease gets its request again, so that a lost answer costs nothing.
    """
    settings = service.settings
    with service.database.write() as session:
        asked = devices.get(session, caller.owner, device)
        row = lease.claim(
            session,
            asked,
            agent=claimant.agent,
            lease_seconds=settings.lease_seconds,
            max_attempts=settings.max_attempts,
        )
        if row is not None:
            return ClaimView.of(row, asked.name, db_now(session))
    response.status_code = 204
    return None


@router.get("/device-requests/{request_id}")
def read_request(request_id: str, caller: DeviceReader, service: Parts) -> RequestView:
    """Read a request."""
    with service.database.read() as session:
        return _view(session, requests.get(session, caller.owner, request_id))


@router.post("/device-requests/{request_id}/cancel")
def cancel_request(request_id: str, caller: Submitter, service: Parts) -> RequestView:
    """End a request. A running one ends at its agent's next heartbeat: until then `asked` says cancel."""
    with service.database.write() as session:
        return _view(session, requests.cancel(session, caller.owner, request_id))


@router.post("/device-requests/{request_id}/heartbeat")
def beat(request_id: str, told: Heartbeat, caller: Profiler, service: Parts) -> OrderView:
    """For agents: keep the lease, tell how far it is, and hear whether to go on."""
    with service.database.write() as session:
        row = requests.get_locked(session, caller.owner, request_id)
        return OrderView(order=lease.heartbeat(session, row, told, service.settings.lease_seconds))


@router.post("/device-requests/{request_id}/finish")
def finish_request(request_id: str, told: Finish, caller: Profiler, service: Parts) -> RequestView:
    """For agents: name what came of a request. It was sent before, to where such things go."""
    return _ended(service, caller.owner, request_id, lambda session, row: lease.finish(session, row, told))


@router.post("/device-requests/{request_id}/fail")
def fail_request(request_id: str, told: Fail, caller: Profiler, service: Parts) -> RequestView:
    """For agents: tell why a request cannot be answered."""
    return _ended(service, caller.owner, request_id, lambda session, row: lease.fail(session, row, told))


@router.post("/device-requests/{request_id}/release")
def release_request(request_id: str, told: Holder, caller: Profiler, service: Parts) -> RequestView:
    """For agents: give a request back. It can be claimed at once; where its user asked for that, it is cancelled."""
    return _ended(service, caller.owner, request_id, lambda session, row: lease.release(session, row, told))


def _ended(
    service: Service, owner: Owner, request_id: str, change: Callable[[Session, DeviceRequest], None]
) -> RequestView:
    with service.database.write() as session:
        row = requests.get_locked(session, owner, request_id)
        change(session, row)
        return _view(session, row)
