"""/v1/devices/{device}/tables and /v1/tables."""

import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from api.auth.callers import Owner
from api.dependencies import AskedChoices, Cursor, DeviceReader, Limit, Parts, Profiler, Service
from api.devices import service as devices
from api.errors import FieldProblem, InvalidRequest
from api.limits import spooled_body
from api.pages import Page
from api.paging import decode_cursor, encode_cursor
from api.spaces import service as spaces
from api.tables import service as tables
from api.tables import suspicion
from api.tables.difference import difference
from api.tables.heatmap import heatmap
from api.tables.models import Table
from api.tables.rows import GROUP, entry_json, info_of, operator_json, rows_after
from api.tables.schemas import CoverageView, DifferenceView, Heatmap, OperatorView, RowView, RowWarning, TableView
from api.tables.upload import PARQUET, CheckedTable, FormatMissing, Upload, check
from api.telemetry.metrics import TABLE_ROWS, TABLE_UPLOADS
from api.turns import Turns
from latency.formats import ParquetMissing, write_csv, write_json, write_parquet
from latency.operator import Operator
from latency.table import Entry, TableInfo

router = APIRouter(prefix="/v1", tags=["tables"])
_TURNS = Turns("reads tables", most=4, wait_seconds=30.0)
_MEDIA_TYPES = ("text/csv", "application/json", PARQUET)
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {name: {"schema": {"type": "string"}} for name in _MEDIA_TYPES}}
}
SpaceName = Annotated[str | None, Query(description="A space that the table must cover.")]


def view(table: Table, device: str) -> TableView:
    """What the API says of a table."""
    return TableView.model_validate(
        {**{name: getattr(table, name, None) for name in TableView.model_fields}, "device": device, "warnings": []}
    )


@router.post("/devices/{device}/tables", status_code=201, openapi_extra=_BODY, responses={200: {"model": TableView}})
def upload_table(
    device: str,
    request: Request,
    response: Response,
    caller: Profiler,
    service: Parts,
    body: Annotated[BinaryIO, Depends(spooled_body)],
    space: SpaceName = None,
    content_encoding: Annotated[str | None, Header(description="gzip, or nothing.")] = None,
) -> TableView:
    """Upload a latency table as CSV, JSON or Parquet.

    Taken whole or not at all; the same content again gives the table that stands (200).
    """
    with service.database.read() as session:
        owner = devices.get(session, caller.owner, device)
        covered = spaces.get(session, caller.owner.alone(owner.owner), space) if space is not None else None
    upload = Upload(
        body=body,
        media_type=_media_type(request),
        gzipped=_is_gzip(content_encoding),
        device_name=owner.name,
        space=covered,
        max_rows=service.settings.max_table_rows,
        max_bytes=service.settings.max_unpacked_bytes,
    )
    with _TURNS.taken():
        checked = check(upload)
    try:
        with service.database.write() as session:
            table, created = tables.store(session, owner, checked)
            answer = view(table, owner.name)
        if created:
            TABLE_UPLOADS.inc()
            TABLE_ROWS.inc(answer.rows)
        with service.database.read() as session:
            stored = tables.get(session, caller.owner, answer.id)
            places = checked.passed.places if created else None
            sees_others = caller.owner.device is None
            checked.warnings += suspicion.against_others(session, stored, places, sees_others=sees_others)
        return _answer(answer, created, checked, response)
    finally:
        checked.close()


def _answer(answer: TableView, created: bool, checked: CheckedTable, response: Response) -> TableView:
    answer.warnings = [RowWarning(row=w.row, field=w.field, detail=w.detail) for w in checked.warnings]
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/tables/{answer.id}"
    return answer


@router.get("/devices/{device}/tables")
def list_tables(
    device: str, caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[TableView]:
    """List a device's tables, newest first."""
    with service.database.read() as session:
        owner = devices.get(session, caller.owner, device)
        found, following = tables.list_page(session, owner, cursor=cursor, limit=limit)
        return Page(items=[view(table, owner.name) for table in found], next_cursor=following)


@router.get("/tables/{table_id}")
def read_table(table_id: str, caller: DeviceReader, service: Parts) -> TableView:
    """Read what holds for a whole table."""
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        return view(table, table.device_name)


@router.get("/tables/{table_id}/rows")
def list_rows(
    table_id: str, caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[RowView]:
    """List a table's rows in the order of the upload."""
    after = -1 if cursor is None else int(decode_cursor(cursor, int))
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        found = rows_after(session, table.id, after, limit + 1)
    items = [RowView(**operator_json(operator), **entry_json(entry)) for _, operator, entry in found[:limit]]
    return Page(items=items, next_cursor=encode_cursor(found[limit - 1][0]) if len(found) > limit else None)


@router.get("/tables/{table_id}/coverage")
def read_coverage(table_id: str, space: str, caller: DeviceReader, service: Parts, asked: AskedChoices) -> CoverageView:
    """Tell which operators of a space a table lacks."""
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        owner = Owner(table.owner)  # whose spaces its measurements and jobs take, too
        offered = spaces.offered(session, owner, space, asked.precision, asked.width, asked.sparsity)
        missing = tables.missing(session, table, offered)
    return CoverageView(covered=not missing, missing=[OperatorView.model_validate(operator) for operator in missing])


@router.get("/tables/{table_id}/heatmap")
def read_heatmap(table_id: str, space: str, caller: DeviceReader, service: Parts, asked: AskedChoices) -> Heatmap:
    """Tell what each choice of each layer of a space takes by a table, corrected where it is."""
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        owner = Owner(table.owner)  # whose spaces its measurements and jobs take, too
        offered = spaces.offered(session, owner, space, asked.precision, asked.width, asked.sparsity)
        return heatmap(offered, tables.entries_for(session, table, offered))


@router.get("/tables/{table_id}/difference")
def read_difference(table_id: str, before: str, caller: DeviceReader, service: Parts) -> DifferenceView:
    """Tell what changes from the table `before` to this one: rows as uploaded, the greatest changes first."""
    with service.database.read() as session:
        after, earlier = (tables.get(session, caller.owner, name) for name in (table_id, before))
        return difference(session, earlier, after)


@router.get("/tables/{table_id}/file", response_class=StreamingResponse)
def download_table(
    table_id: str, caller: DeviceReader, service: Parts, format: Literal["csv", "json", "parquet"] = "csv"
) -> StreamingResponse:
    """Download a table as it can be uploaded again."""
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        info, name = info_of(table), f"{table.device_name}-{table.version}.{format}"
    rows = _all_rows(service, table_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if format == "parquet":
        return StreamingResponse(_parquet(info, rows), media_type=PARQUET, headers=headers)
    pieces = write_csv(info, rows) if format == "csv" else write_json(info, rows)
    return StreamingResponse(
        _joined(pieces), media_type="text/csv" if format == "csv" else "application/json", headers=headers
    )


def _all_rows(service: Service, table_id: str) -> Iterator[tuple[Operator, Entry]]:
    """Rows in groups, a short transaction each: tables do not change, and a slow reader holds nothing."""
    position = -1
    while True:
        with service.database.read() as session:
            found = rows_after(session, table_id, position, GROUP)
        for position, operator, entry in found:  # noqa: B007 - the last one is where the next group begins
            yield operator, entry
        if len(found) < GROUP:
            return


def _parquet(info: TableInfo, rows: Iterator[tuple[Operator, Entry]]) -> Iterator[bytes]:
    """The whole file, in pieces: written before the first of them goes out, so that a failure is an answer."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the last piece
    try:
        write_parquet(info, rows, file)
    except BaseException as error:
        file.close()
        if isinstance(error, ParquetMissing):
            raise FormatMissing(f"This service writes no Parquet: {error}. Ask for csv or json.") from error
        raise
    file.seek(0)
    return _pieces(file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(1 << 16):
            yield piece


def _joined(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces of some size: a row at a time would cost a turn of the server each."""
    waiting: list[str] = []
    for piece in pieces:
        waiting.append(piece)
        if len(waiting) == GROUP:
            yield "".join(waiting)
            waiting = []
    yield "".join(waiting)


def _media_type(request: Request) -> str:
    name = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if name not in _MEDIA_TYPES:
        raise InvalidRequest(
            "A table is CSV, JSON or Parquet.",
            errors=[FieldProblem("Content-Type", f"write {' or '.join(_MEDIA_TYPES)}")],
        )
    return name


def _is_gzip(encoding: str | None) -> bool:
    if encoding is None or encoding.strip().lower() in ("", "identity"):
        return False
    if encoding.strip().lower() != "gzip":
        raise InvalidRequest(
            "The body is packed in a way not known here.", errors=[FieldProblem("Content-Encoding", "write gzip")]
        )
    return True
