"""Devices.

Errors:
    DeviceExists (DomainError)   409  device-exists
    DeviceUnknown (NotFound)     404  unknown-device
    Forbidden (DomainError)      403  see api.auth.errors
"""

from datetime import UTC, datetime

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.auth.callers import Owner
from api.auth.errors import Forbidden
from api.db.session import insert
from api.devices.models import Device
from api.devices.schemas import NewDevice
from api.errors import DomainError, FieldProblem, NotFound
from api.ids import new_id
from api.paging import page


class DeviceExists(DomainError):
    """The name is taken."""

    status = 409
    slug = "device-exists"
    title = "Device exists"


class DeviceUnknown(NotFound):
    """No device of that name or id."""

    slug = "unknown-device"
    title = "Unknown device"


def create(session: Session, owner: Owner, new: NewDevice) -> Device:
    """Registers a device; raises DeviceExists, Forbidden."""
    if owner.device is not None:
        raise Forbidden("The token of a device registers no others.")
    device = Device(
        id=new_id("dev"), owner=owner.name, name=new.name, description=new.description, labels=dict(new.labels),
        last_version=0, created_at=datetime.now(UTC),
    )  # fmt: skip
    if not insert(session, device):
        wrong = FieldProblem(
            "name", f"{new.name!r} is the name of another device of yours: use that one, or another name"
        )
        raise DeviceExists(f"There is a device {new.name!r} already.", errors=[wrong])
    about(session, device.id)
    return device


def find(session: Session, owner: Owner, name_or_id: str) -> Device | None:
    """A device that `owner` sees, by id or name; of several of one name that of the nearest owner."""
    named = _seen(owner).where(or_(Device.id == name_or_id, Device.name == name_or_id))
    found = sorted(session.scalars(named), key=lambda d: (d.id != name_or_id, owner.visible.index(d.owner)))
    return found[0] if found else None


def get(session: Session, owner: Owner, name_or_id: str) -> Device:
    """The same; raises DeviceUnknown."""
    device = find(session, owner, name_or_id)
    if device is None:
        raise DeviceUnknown(f"There is no device {name_or_id!r}: `POST /v1/devices` registers one.")
    return device


def list_page(session: Session, owner: Owner, *, cursor: str | None, limit: int) -> tuple[list[Device], str | None]:
    """The devices that `owner` sees, newest first."""
    return page(session, _seen(owner), Device.id, cursor=cursor, limit=limit, newest_first=True)


def _seen(owner: Owner) -> Select[Device]:
    seen = select(Device).where(Device.owner.in_(owner.visible))
    return seen if owner.device is None else seen.where(Device.id == owner.device)
