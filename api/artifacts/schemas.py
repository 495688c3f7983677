"""Artifacts as the API shows them."""

from datetime import datetime

from pydantic import BaseModel

from api.artifacts.models import Artifact


class ArtifactView(BaseModel):
    """A file that can be downloaded. `sha256` is its ETag too; `job` is None for what people brought."""

    id: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    job: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Artifact) -> "ArtifactView":
        """What the API says of a row."""
        return cls(
            id=row.id, name=row.name, media_type=row.media_type, bytes=row.bytes, sha256=row.sha256, job=row.job_id,
            created_at=row.created_at,
        )  # fmt: skip
