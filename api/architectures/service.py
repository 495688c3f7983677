"""Derived architectures.

Errors:
    ArchitectureUnknown (NotFound)   404  unknown-architecture
    MeasuredTooOften (DomainError)   422  measured-too-often
"""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.architectures.models import DerivedArchitecture
from api.architectures.schemas import MeasuredLatency, NewMeasuredLatency
from api.auth.callers import Owner
from api.devices import service as devices
from api.errors import DomainError, FieldProblem, NotFound
from api.paging import page
from api.requests.asked import is_asked_to_verify

MOST_MEASURED = 1000


class MeasuredTooOften(DomainError):
    """No more measurements are kept of this architecture."""

    status = 422
    slug = "measured-too-often"
    title = "Measured too often"


class ArchitectureUnknown(NotFound):
    """No architecture of that id, or none of that job yet."""

    slug = "unknown-architecture"
    title = "Unknown architecture"


def get(session: Session, owner: Owner, architecture_id: str) -> DerivedArchitecture:
    """An architecture that `owner` sees, for the agent of a device one that it was asked to verify. Raises
    ArchitectureUnknown.
    """
    found = session.get(DerivedArchitecture, architecture_id)
    seen = found is not None and owner.sees(found.owner)
    if seen and owner.device is not None:
        seen = is_asked_to_verify(session, owner.device, architecture_id)
    if found is None or not seen:
        raise ArchitectureUnknown(f"There is no architecture {architecture_id!r}.")
    return found


def add_measured(session: Session, owner: Owner, architecture_id: str, new: NewMeasuredLatency) -> DerivedArchitecture:
    """Keeps what a device took; raises ArchitectureUnknown, DeviceUnknown, MeasuredTooOften."""
    row = get(session, owner, architecture_id)
    devices.get(session, owner.alone(row.owner), new.device)
    session.refresh(row, with_for_update=True)
    if len(row.measured) >= MOST_MEASURED:
        wrong = FieldProblem("latency_us", f"an architecture keeps {MOST_MEASURED} of them")
        raise MeasuredTooOften(f"The architecture {row.id} was measured {MOST_MEASURED} times.", errors=[wrong])
    told = MeasuredLatency(**new.model_dump(), created_at=datetime.now(UTC))
    row.measured = [*row.measured, told.model_dump(mode="json")]
    session.flush()
    return row


def id_of_job(session: Session, job_id: str) -> str | None:
    """The id of what a job gave."""
    return session.scalars(select(DerivedArchitecture.id).where(DerivedArchitecture.job_id == job_id)).one_or_none()


def of_job(session: Session, job_id: str, state: str) -> DerivedArchitecture:
    """What a job gave; raises ArchitectureUnknown while there is none."""
    found = session.scalars(select(DerivedArchitecture).where(DerivedArchitecture.job_id == job_id)).one_or_none()
    if found is None:
        raise ArchitectureUnknown(f"The job {job_id} has no architecture: it is {state}.")
    return found


def list_page(
    session: Session, owner: Owner, *, cursor: str | None, limit: int
) -> tuple[list[DerivedArchitecture], str | None]:
    """The architectures that `owner` sees, newest first."""
    mine = select(DerivedArchitecture).where(DerivedArchitecture.owner.in_(owner.visible))
    return page(session, mine, DerivedArchitecture.id, cursor=cursor, limit=limit, newest_first=True)
