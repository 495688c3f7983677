"""/v1/architectures."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from api.architectures import service as architectures
from api.architectures.schemas import ArchitectureView, NewMeasuredLatency
from api.artifacts import service as artifacts
from api.artifacts.documented import FILE_ANSWERS, FILE_REQUEST
from api.artifacts.download import file_response
from api.dependencies import Cursor, DeviceReader, Limit, Parts, Profiler, Reader
from api.pages import Page

router = APIRouter(prefix="/v1/architectures", tags=["architectures"])


@router.get("")
def list_architectures(
    caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[ArchitectureView]:
    """List what your searches gave, newest first."""
    with service.database.read() as session:
        found, following = architectures.list_page(session, caller.owner, cursor=cursor, limit=limit)
        files = artifacts.of_jobs(session, [row.job_id for row in found])
        items = [ArchitectureView.of(row, files[row.job_id]) for row in found]
    return Page(items=items, next_cursor=following)


@router.get("/{architecture_id}")
def read_architecture(architecture_id: str, caller: DeviceReader, service: Parts) -> ArchitectureView:
    """Read an architecture, layer by layer."""
    with service.database.read() as session:
        row = architectures.get(session, caller.owner, architecture_id)
        return ArchitectureView.of(row, artifacts.of_job(session, row.job_id))


@router.post("/{architecture_id}/measurements", status_code=201)
def add_measurement(
    architecture_id: str, new: NewMeasuredLatency, caller: Profiler, service: Parts
) -> ArchitectureView:
    """Tell what the exported network took on a device."""
    with service.database.write() as session:
        row = architectures.add_measured(session, caller.owner, architecture_id, new)
        return ArchitectureView.of(row, artifacts.of_job(session, row.job_id))


@router.get(
    "/{architecture_id}/artifacts/{name}",
    response_class=FileResponse,
    responses=FILE_ANSWERS,
    openapi_extra=FILE_REQUEST,
)
def download_named(architecture_id: str, name: str, request: Request, caller: Reader, service: Parts) -> Response:
    """Download one of its files: architecture.json, weights.safetensors, model.onnx, report.json,
    report.html.
    """
    with service.database.read() as session:
        row = architectures.get(session, caller.owner, architecture_id)
        artifact = artifacts.of_job_named(session, row.job_id, name)
    return file_response(request, service.store, artifact)
