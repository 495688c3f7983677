"""Derived architectures.

Errors:
    ArchitectureUnknown (NotFound)   404  unknown-architecture
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.architectures.models import DerivedArchitecture
from api.errors import NotFound
from api.paging import page


class ArchitectureUnknown(NotFound):
    """No architecture of that id, or none of that job yet."""

    slug = "unknown-architecture"
    title = "Unknown architecture"


def get(session: Session, owner: str, architecture_id: str) -> DerivedArchitecture:
    """An architecture of `owner`; raises ArchitectureUnknown."""
    found = session.get(DerivedArchitecture, architecture_id)
    if found is None or found.owner != owner:
        raise ArchitectureUnknown(f"There is no architecture {architecture_id!r}.")
    return found


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
    session: Session, owner: str, *, cursor: str | None, limit: int
) -> tuple[list[DerivedArchitecture], str | None]:
    """The architectures of `owner`, newest first."""
    mine = select(DerivedArchitecture).where(DerivedArchitecture.owner == owner)
    return page(session, mine, DerivedArchitecture.id, cursor=cursor, limit=limit, newest_first=True)
