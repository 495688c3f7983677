"""What a request needs, looked up before an agent takes it: all that is wrong is told in one answer, by field.

Errors:
    RequestRefused (DomainError)   422  request-refused
"""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from api.architectures import service as architectures
from api.artifacts import service as artifacts
from api.auth.callers import Owner
from api.devices.models import Device
from api.errors import DomainError, FieldProblem
from api.requests.asked import MODEL
from api.requests.schemas import Asked, Calibrate, Profile, Time, Verify
from api.spaces import service as spaces
from api.tables import service as tables
from api.tables.models import Table
from search.space import Space


class RequestRefused(DomainError):
    """The device cannot do this, or not as it stands."""

    status = 422
    slug = "request-refused"
    title = "Request refused"


def check(session: Session, device: Device, spec: Asked) -> None:
    """Looks up all that `spec` names. Raises RequestRefused."""
    match spec:
        case Profile():
            errors = list(_space_errors(session, device, spec))
        case Calibrate():
            errors = [*_space_errors(session, device, spec), *_table_errors(session, device, spec)]
        case Verify():
            errors = list(_architecture_errors(session, device, spec))
        case Time():
            errors = list(_batch_errors(session, device, spec.table))
    if errors:
        raise RequestRefused("; ".join(f"{wrong.field}: {wrong.detail}" for wrong in errors), errors=errors)


def _space_errors(session: Session, device: Device, spec: Profile | Calibrate) -> Iterator[FieldProblem]:
    if spaces.find(session, Owner(device.owner), spec.space) is None:
        yield FieldProblem("space", f"there is no space {spec.space!r}: GET /v1/spaces lists them")
        return
    try:
        _offered(session, device, spec)
    except spaces.ChoicesRefused as error:
        yield from error.errors


def _table_errors(session: Session, device: Device, spec: Calibrate) -> Iterator[FieldProblem]:
    yield from _batch_errors(session, device, spec.table)
    table = _table(session, device, spec.table)
    if table is None:
        return  # told already
    try:
        space = _offered(session, device, spec)
    except (spaces.SpaceUnknown, spaces.ChoicesRefused):
        return  # told already
    yield from spaces.too_many_drawn(space, spec.networks, "networks")
    missing = tables.missing(session, table, space)
    if missing:
        shown = ", ".join(operator.key for operator in missing[:3]) + (" ..." if len(missing) > 3 else "")
        yield FieldProblem(
            "table", f"{table.id} lacks {len(missing)} operators of the space {space.name}: {shown}; profile them first"
        )


def _batch_errors(session: Session, device: Device, table_id: str) -> Iterator[FieldProblem]:
    table = _table(session, device, table_id)
    if table is None:
        there = ", ".join(table.id for table in tables.of_device(session, device)[-10:]) or "none"
        yield FieldProblem("table", f"{device.name} has no table {table_id!r}; it has {there}")
    elif table.batch != 1:
        yield FieldProblem("table", f"{table.id} is of batch {table.batch}: networks are timed at batch 1")


def _table(session: Session, device: Device, table_id: str) -> Table | None:
    return next((table for table in tables.of_device(session, device) if table.id == table_id), None)


def _architecture_errors(session: Session, device: Device, spec: Verify) -> Iterator[FieldProblem]:
    try:
        found = architectures.get(session, Owner(device.owner), spec.architecture)
        artifacts.of_job_named(session, found.job_id, MODEL)
    except architectures.ArchitectureUnknown:
        yield FieldProblem(
            "architecture", f"there is no architecture {spec.architecture!r}: GET /v1/architectures lists them"
        )
    except artifacts.ArtifactUnknown:
        yield FieldProblem("architecture", f"{spec.architecture} has no {MODEL} to be timed")


def _offered(session: Session, device: Device, spec: Profile | Calibrate) -> Space:
    return spaces.offered(session, Owner(device.owner), spec.space, spec.precision, spec.width)
