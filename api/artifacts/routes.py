"""/v1/artifacts."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from api.artifacts import service as artifacts
from api.artifacts.documented import FILE_ANSWERS, FILE_REQUEST
from api.artifacts.download import file_response
from api.artifacts.schemas import ArtifactView
from api.dependencies import DeviceReader, Parts

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])


@router.get("/{artifact_id}")
def read_artifact(artifact_id: str, caller: DeviceReader, service: Parts) -> ArtifactView:
    """Read what is known of a file."""
    with service.database.read() as session:
        return ArtifactView.of(artifacts.get(session, caller, artifact_id))


@router.head("/{artifact_id}/content", include_in_schema=False)
@router.get("/{artifact_id}/content", response_class=FileResponse, responses=FILE_ANSWERS, openapi_extra=FILE_REQUEST)
def download_artifact(artifact_id: str, request: Request, caller: DeviceReader, service: Parts) -> Response:
    """Download a file, whole or in part (Range)."""
    with service.database.read() as session:
        artifact = artifacts.get(session, caller, artifact_id)
    return file_response(request, service.store, artifact)
