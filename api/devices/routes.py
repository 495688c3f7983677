"""/v1/devices."""

from fastapi import APIRouter, Response

from api.dependencies import Cursor, DeviceReader, Limit, Parts, Profiler
from api.devices import service as devices
from api.devices.schemas import DeviceView, NewDevice
from api.pages import Page

router = APIRouter(prefix="/v1/devices", tags=["devices"])


@router.post("", status_code=201)
def create_device(new: NewDevice, caller: Profiler, service: Parts, response: Response) -> DeviceView:
    """Register a device. Its name is what jobs call it by."""
    with service.database.write() as session:
        device = DeviceView.model_validate(devices.create(session, caller.owner, new))
    response.headers["Location"] = f"/v1/devices/{device.id}"
    return device


@router.get("")
def list_devices(caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[DeviceView]:
    """List devices, newest first."""
    with service.database.read() as session:
        found, following = devices.list_page(session, caller.owner, cursor=cursor, limit=limit)
        return Page(items=[DeviceView.model_validate(device) for device in found], next_cursor=following)


@router.get("/{device}")
def read_device(device: str, caller: DeviceReader, service: Parts) -> DeviceView:
    """Read a device by id or name."""
    with service.database.read() as session:
        return DeviceView.model_validate(devices.get(session, caller.owner, device))
