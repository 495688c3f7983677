"""What an agent says came of a request: it has to be there, and to be of the request's device.

Errors:
    ResultRefused (DomainError)   422  result-refused
"""

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.architectures import service as architectures
from api.auth.callers import Owner
from api.devices.models import Device
from api.errors import DomainError, FieldProblem
from api.measurements.models import MeasuredNetwork
from api.requests.models import DeviceRequest
from api.requests.schemas import Result
from api.tables.models import Table

FIELDS = {
    "profile": ("table",), "calibrate": ("table", "networks"), "verify": ("architecture", "latency_us"),
    "time": ("table", "latency_us"),
}  # fmt: skip


class ResultRefused(DomainError):
    """The result names something that is not there, or not of this device."""

    status = 422
    slug = "result-refused"
    title = "Result refused"


def check(session: Session, request: DeviceRequest, result: Result) -> None:
    """Holds `result` to what the service was sent before. Raises ResultRefused."""
    errors = list(_shape_errors(request, result)) or list(_errors(session, request, result))
    if errors:
        raise ResultRefused("; ".join(f"{wrong.field}: {wrong.detail}" for wrong in errors), errors=errors)


def _shape_errors(request: DeviceRequest, result: Result) -> Iterator[FieldProblem]:
    wanted = FIELDS[request.kind]
    for name in Result.model_fields:
        given = getattr(result, name) is not None
        if given != (name in wanted):
            problem = f"is not of a {request.kind}" if given else "is missing"
            yield FieldProblem(f"result.{name}", f"{problem}: it ends with {' and '.join(wanted)}")


def _errors(session: Session, request: DeviceRequest, result: Result) -> Iterator[FieldProblem]:
    device = session.get_one(Device, request.device_id)
    if result.architecture is not None:
        yield from _measured_errors(session, request, device, result)
        return
    table = session.get(Table, result.table)
    if table is None or table.device_id != device.id:
        yield FieldProblem("result.table", f"{device.name} has no table {result.table!r}: upload it first")
        return
    if request.kind == "profile":
        return
    if table.id != request.spec["table"]:
        yield FieldProblem("result.table", f"the request is about {request.spec['table']}")
    if request.kind == "time":
        return
    count = session.scalar(select(func.count()).where(MeasuredNetwork.table_id == table.id)) or 0
    if count < (result.networks or 0):
        yield FieldProblem("result.networks", f"{table.id} has {count} measured networks: send them first")


def _measured_errors(
    session: Session, request: DeviceRequest, device: Device, result: Result
) -> Iterator[FieldProblem]:
    if result.architecture != request.spec["architecture"]:
        yield FieldProblem("result.architecture", f"the request is about {request.spec['architecture']}")
        return
    told = architectures.get(session, Owner(request.owner), request.spec["architecture"]).measured
    if not any(one["device"] in (device.name, device.id) and one["latency_us"] == result.latency_us for one in told):
        yield FieldProblem("result.latency_us", f"{device.name} has told no such measurement: send it first")
