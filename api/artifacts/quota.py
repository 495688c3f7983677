"""How much an owner may keep in the store.

Errors:
    StoreQuotaExceeded (DomainError)   409  store-quota-exceeded
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.db.session import in_turn
from api.errors import DomainError
from api.jobs.models import Checkpoint, SearchJob


class StoreQuotaExceeded(DomainError):
    """The owner keeps more in the store than it may."""

    status = 409
    slug = "store-quota-exceeded"
    title = "Store quota exceeded"


def stored_bytes(session: Session, owner: str) -> int:
    """Bytes of all that belongs to `owner` in the store: files of jobs, data sets, checkpoints."""
    files = select(func.sum(Artifact.bytes)).where(Artifact.owner == owner)
    kept = select(func.sum(Checkpoint.bytes)).join(SearchJob, SearchJob.id == Checkpoint.job_id)
    return int(session.scalar(files) or 0) + int(session.scalar(kept.where(SearchJob.owner == owner)) or 0)


def take_turn(session: Session, owner: str) -> None:
    """Has units of work that add to what `owner` has come one after the other, so that each counts the one before. At
    the beginning: nobody else waits then for what this one holds.
    """
    in_turn(session, f"quota of {owner}")


def check_quota(session: Session, owner: str, most: int | None) -> None:
    """Raises StoreQuotaExceeded where `owner` keeps more than `most` bytes; None is no bound. What was queued before
    still ends: a quota keeps new work out, and breaks none.
    """
    if most is None:
        return
    session.flush()
    kept = stored_bytes(session, owner)
    if kept > most:
        raise StoreQuotaExceeded(
            f"{owner} keeps {kept} bytes in the store, with what this would add, and may keep {most}: ask the operator "
            "to raise LUTNAS_MAX_STORED_BYTES."
        )
