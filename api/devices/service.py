"""Devices.

Errors:
    DeviceExists (DomainError)   409  device-exists
    DeviceUnknown (NotFound)     404  unknown-device
"""

from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

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


def create(session: Session, owner: str, new: NewDevice) -> Device:
    """Registers a device; raises DeviceExists."""
    device = Device(
        id=new_id("dev"), owner=owner, name=new.name, description=new.description, labels=dict(new.labels),
        last_version=0, created_at=datetime.now(UTC),
    )  # fmt: skip
    if not insert(session, device):
        wrong = FieldProblem(
            "name", f"{new.name!r} is the name of another device of yours: use that one, or another name"
        )
        raise DeviceExists(f"There is a device {new.name!r} already.", errors=[wrong])
    return device


def find(session: Session, owner: str, name_or_id: str) -> Device | None:
    """A device of `owner` by id or name."""
    mine = select(Device).where(Device.owner == owner)
    named = session.scalars(mine.where(or_(Device.id == name_or_id, Device.name == name_or_id))).all()
    return next((d for d in named if d.id == name_or_id), named[0] if named else None)


def get(session: Session, owner: str, name_or_id: str) -> Device:
    """A device of `owner` by id or name; raises DeviceUnknown."""
    device = find(session, owner, name_or_id)
    if device is None:
        raise DeviceUnknown(f"There is no device {name_or_id!r}: `POST /v1/devices` registers one.")
    return device


def list_page(session: Session, owner: str, *, cursor: str | None, limit: int) -> tuple[list[Device], str | None]:
    """The devices of `owner`, newest first."""
    return page(
        session, select(Device).where(Device.owner == owner), Device.id, cursor=cursor, limit=limit, newest_first=True
    )
