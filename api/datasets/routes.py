"""/v1/datasets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from api.artifacts.quota import check_quota, take_turn
from api.datasets import service as datasets
from api.datasets.schemas import DatasetView
from api.dependencies import Cursor, Limit, Parts, Reader, Submitter
from api.errors import DomainError, FieldProblem, InvalidRequest
from api.pages import Page
from search.document import Name

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_FORM = {
    "type": "object",
    "required": ["name", "file"],
    "additionalProperties": False,
    "properties": {"name": _NAME.json_schema(), "file": {"type": "string", "format": "binary"}},
}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent."""

    name: str
    file: BinaryIO


async def received_form(request: Request) -> AsyncIterator[Form]:
    """The form, its file on disk. Read here, not by FastAPI, which would take it from callers it does not know yet."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        wrong = FieldProblem("Content-Type", "write multipart/form-data, with name and file")
        raise InvalidRequest("A data set comes as a form.", errors=[wrong])
    async with request.form(max_files=1, max_fields=8) as form:
        unknown = set(form) - {"name", "file"}
        if unknown:
            raise InvalidRequest(
                "The form has fields too many.", errors=[FieldProblem(n, "is not known") for n in sorted(unknown)]
            )
        name, file = form.get("name"), form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequest(
                "The form lacks the data.", errors=[FieldProblem("file", "send an .npz, or a zip or tar of images")]
            )
        try:
            yield Form(_NAME.validate_python(name), file.file)
        except ValidationError as error:
            wrong = FieldProblem("name", "needs a name of lower-case letters, digits and . _ -")
            raise InvalidRequest("The data set has no usable name.", errors=[wrong]) from error


@router.post("", status_code=201, openapi_extra=_BODY, responses={200: {"model": DatasetView}})
def create_dataset(
    caller: Submitter, service: Parts, form: Annotated[Form, Depends(received_form)], response: Response
) -> DatasetView:
    """Bring a data set: an .npz of arrays, or a zip or tar of a folder of images. The same data again answers 200."""
    converted = datasets.convert(form.file, service.store, max_bytes=service.settings.max_unpacked_bytes)
    try:
        with service.database.write() as session:
            take_turn(session, caller.owner.name)
            row, created = datasets.create(session, caller.owner, form.name, converted)
            answer = DatasetView.of(row)
            if created:
                check_quota(session, caller.owner.name, service.settings.max_stored_bytes)
    except DomainError:  # any other error may have come after the commit: then a row names the file
        service.store.discard(converted.file.path_in_store)
        raise
    if not created:
        service.store.discard(converted.file.path_in_store)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/datasets/{answer.name}"
    return answer


@router.get("")
def list_datasets(caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[DatasetView]:
    """List the built-in data sets and your own, by name."""
    with service.database.read() as session:
        found, following = datasets.list_page(session, caller.owner, cursor=cursor, limit=limit)
    return Page(items=found, next_cursor=following)


@router.get("/{name}")
def read_dataset(name: str, caller: Reader, service: Parts) -> DatasetView:
    """Read what is known of a data set."""
    with service.database.read() as session:
        return datasets.get(session, caller.owner, name)
