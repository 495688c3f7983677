"""Artifacts: files that a row has made real.

Errors:
    ArtifactUnknown (NotFound)   404  unknown-artifact
"""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.artifacts.store import StoredFile
from api.auth.callers import Caller
from api.errors import NotFound
from api.ids import new_id
from api.jobs.models import Checkpoint
from api.requests.asked import MODEL, may_fetch


class ArtifactUnknown(NotFound):
    """No artifact of that id or name."""

    slug = "unknown-artifact"
    title = "Unknown artifact"


def are_there(session: Session) -> bool:
    """Whether the database names a file of the store, the checkpoint of a running job included."""
    return any(session.scalar(select(column).limit(1)) is not None for column in (Artifact.id, Checkpoint.job_id))


def record(session: Session, owner: str, file: StoredFile) -> Artifact:
    """Makes a file that somebody brought real."""
    artifact = Artifact(
        id=new_id("art"), owner=owner, job_id=None, name=file.name, path=file.path_in_store, bytes=file.bytes,
        sha256=file.sha256, media_type=file.media_type, created_at=datetime.now(UTC),
    )  # fmt: skip
    session.add(artifact)
    session.flush()
    return artifact


def get(session: Session, caller: Caller, artifact_id: str) -> Artifact:
    """An artifact that `caller` sees: who may not read, but profile, sees models alone, and the agent of a device those
    that it was asked to verify. Raises ArtifactUnknown.
    """
    artifact, owner = session.get(Artifact, artifact_id), caller.owner
    if artifact is None or not owner.sees(artifact.owner):
        raise _unknown(artifact_id)
    if owner.device is not None and not may_fetch(session, owner.device, artifact_id):
        raise _unknown(artifact_id)
    if not caller.may("read") and (artifact.job_id is None or artifact.name != MODEL):
        raise _unknown(artifact_id)
    return artifact


def _unknown(artifact_id: str) -> ArtifactUnknown:
    return ArtifactUnknown(f"There is no artifact {artifact_id!r}.")


def of_job(session: Session, job_id: str) -> list[Artifact]:
    """The artifacts of a job by name."""
    return list(session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)))


def of_jobs(session: Session, job_ids: Collection[str]) -> dict[str, list[Artifact]]:
    """The same of several, each of which is there."""
    found: dict[str, list[Artifact]] = {job_id: [] for job_id in job_ids}
    for artifact in session.scalars(select(Artifact).where(Artifact.job_id.in_(job_ids)).order_by(Artifact.name)):
        assert artifact.job_id is not None
        found[artifact.job_id].append(artifact)
    return found


def of_job_named(session: Session, job_id: str, name: str) -> Artifact:
    """One artifact of a job; raises ArtifactUnknown."""
    found = session.scalars(select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name)).one_or_none()
    if found is None:
        names = ", ".join(artifact.name for artifact in of_job(session, job_id))
        raise ArtifactUnknown(f"There is no artifact {name!r} here; there are {names or 'none'}.")
    return found
