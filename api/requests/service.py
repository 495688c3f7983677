"""Requests to devices, on the side of those who ask.

Errors:
    RequestUnknown (NotFound)             404  unknown-device-request
    RequestFinished (DomainError)         409  request-finished: what was asked comes too late
    TooManyDeviceRequests (DomainError)   409  too-many-device-requests: others have to end first
    KeyReused (DomainError)               409  see api.idempotency
    RequestRefused (DomainError)          422  see api.requests.submission
"""

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.auth.callers import Owner
from api.db.session import at, db_now, insert
from api.devices.models import Device
from api.errors import DomainError, NotFound
from api.idempotency import body_hash, made_before
from api.ids import new_id
from api.paging import page
from api.requests import lease
from api.requests.lease import lock_queue, locked
from api.requests.models import CANCELLED, FINAL, QUEUED, RUNNING, DeviceRequest
from api.requests.schemas import Asked
from api.requests.submission import check

MOST_OPEN = 1000  # of one device
_ASKED: TypeAdapter[Asked] = TypeAdapter(Asked)


class RequestUnknown(NotFound):
    """No request of that id."""

    slug = "unknown-device-request"
    title = "Unknown device request"


class RequestFinished(DomainError):
    """The request has come to its end."""

    status = 409
    slug = "request-finished"
    title = "Request finished"


class TooManyDeviceRequests(DomainError):
    """As many requests wait for the device as may."""

    status = 409
    slug = "too-many-device-requests"
    title = "Too many device requests"


def submit(session: Session, device: Device, spec: Asked, idempotency_key: str | None) -> tuple[DeviceRequest, bool]:
    """Queues a request. The second part is False where the key's first request answers instead.

    Raises RequestRefused, TooManyDeviceRequests, KeyReused.
    """
    document = spec.model_dump(mode="json")
    digest = body_hash([device.id, document])

    def is_of_body(request: DeviceRequest) -> bool:
        try:
            return (request.device_id, _ASKED.validate_python(request.spec)) == (device.id, spec)
        except ValidationError:  # a version before took other documents
            return False

    standing = made_before(session, DeviceRequest, device.owner, idempotency_key, digest, is_of_body)
    if standing is not None:
        return standing, False
    check(session, device, spec)
    lock_queue(session, device)
    mine = select(func.count()).where(DeviceRequest.device_id == device.id, DeviceRequest.state.in_((QUEUED, RUNNING)))
    if (session.scalar(mine) or 0) >= MOST_OPEN:
        raise TooManyDeviceRequests(
            f"{device.name} has {MOST_OPEN} requests that are not at their end, and may have no more: is an agent at "
            "work there? Cancel some, or wait."
        )
    last = session.scalar(select(func.max(DeviceRequest.number)).where(DeviceRequest.device_id == device.id)) or 0
    request = DeviceRequest(
        id=new_id("req"), owner=device.owner, device_id=device.id, number=last + 1, kind=spec.kind, spec=document,
        state=QUEUED, wish="", progress={}, result=None, error=None, agent=None, attempt=0, lost_attempts=0,
        lease_expires_us=None, idempotency_key=idempotency_key,
        idempotency_hash=digest if idempotency_key is not None else None, created_at=at(db_now(session)),
        started_at=None, finished_at=None,
    )  # fmt: skip
    if not insert(session, request):
        standing = made_before(session, DeviceRequest, device.owner, idempotency_key, digest, is_of_body)
        assert standing is not None  # ids are random and numbers locked: what else than the key can be taken
        return standing, False
    about(session, request.id)
    return request, True


def get(session: Session, owner: Owner, request_id: str) -> DeviceRequest:
    """A request that `owner` sees; raises RequestUnknown."""
    request = session.get(DeviceRequest, request_id)
    if request is None or not owner.sees(request.owner) or not owner.reaches(request.device_id):
        raise RequestUnknown(f"There is no request {request_id!r}: `GET /v1/devices/DEVICE/requests` lists a device's.")
    return request


def get_locked(session: Session, owner: Owner, request_id: str) -> DeviceRequest:
    """A request that `owner` sees, held until the unit of work ends; raises RequestUnknown."""
    return locked(session, get(session, owner, request_id).id)


def list_page(
    session: Session, device: Device, *, cursor: str | None, limit: int
) -> tuple[list[DeviceRequest], str | None]:
    """The requests to a device, newest first."""
    of_device = select(DeviceRequest).where(DeviceRequest.device_id == device.id)
    return page(session, of_device, DeviceRequest.number, cursor=cursor, limit=limit, newest_first=True)


def cancel(session: Session, owner: Owner, request_id: str) -> DeviceRequest:
    """Ends a request: at once if no agent is at work on it, else at its agent's next heartbeat. Raises RequestUnknown,
    RequestFinished.
    """
    request = get_locked(session, owner, request_id)
    if request.state == CANCELLED:
        return request
    if request.state in FINAL:
        raise RequestFinished(f"The request {request.id} has {request.state} and cannot be cancelled.")
    lease.cancel(request, db_now(session))
    return request
