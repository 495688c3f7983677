"""/v1/artifacts, and files as answers."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from api.artifacts import service as artifacts
from api.artifacts.answer import FILE_ANSWERS, FILE_REQUEST, FileAnswer
from api.artifacts.models import Artifact
from api.artifacts.schemas import ArtifactView
from api.artifacts.store import ArtifactStore
from api.dependencies import DeviceReader, Parts

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])


def file_response(request: Request, store: ArtifactStore, artifact: Artifact) -> Response:
    """The file with its checksum as ETag; Range, If-Range and If-None-Match are understood. Content never changes.

    It is an attachment. A browser that shows a page of it all the same gives it no script, no origin and no network.
    """
    headers = {
        "ETag": f'"{artifact.sha256}"',
        "Cache-Control": "private, immutable, max-age=31536000",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options": "nosniff",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    path = store.existing(artifact.path)
    return FileAnswer(
        path, headers=headers, media_type=artifact.media_type, filename=artifact.name, stat_result=path.stat()
    )


@router.get("/{artifact_id}")
def read_artifact(artifact_id: str, caller: DeviceReader, service: Parts) -> ArtifactView:
    """Read what is known of a file."""
    with service.database.read() as session:
        return ArtifactView.of(artifacts.get(session, caller.owner, artifact_id))


@router.head("/{artifact_id}/content", include_in_schema=False)
@router.get("/{artifact_id}/content", response_class=FileResponse, responses=FILE_ANSWERS, openapi_extra=FILE_REQUEST)
def download_artifact(artifact_id: str, request: Request, caller: DeviceReader, service: Parts) -> Response:
    """Download a file, whole or in part (Range)."""
    with service.database.read() as session:
        artifact = artifacts.get(session, caller.owner, artifact_id)
    return file_response(request, service.store, artifact)
