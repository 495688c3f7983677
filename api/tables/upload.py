"""Reading an uploaded table: checked to its last row before the database hears of it.

Rows that were read wait in a temporary file, so that memory stays small and the database is locked for the writing
alone.

Errors:
    TableRefused (DomainError)   422  invalid-table: names each row and field
    FormatMissing (DomainError)   415  format-not-installed: Parquet is an extra
    SpaceNotCovered (DomainError)   422  space-not-covered: lists the missing operators
"""

import codecs
import gzip
import io
import marshal
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, cast

from api.db.types import Unstorable, check_text
from api.errors import DomainError, FieldProblem
from api.tables import suspicion
from api.tables.rows import Cells, grouped, operator_json
from latency.formats import ParquetMissing, TableErrors, TableStream, stream_csv, stream_json, stream_parquet
from latency.operator import Operator
from latency.table import ContentHash, Entry, TableInfo
from search.space import Space

PARQUET = "application/vnd.apache.parquet"
_IN_MEMORY = 1 << 20
_SIZE = 8  # bytes that tell how long a group is
_LONGEST_LINE = 1 << 20
# A JSON table is read whole, and the worst takes twenty times its size. 250,000 rows have that; CSV and Parquet pass.
JSON_BYTES = 64 << 20


class TableRefused(DomainError):
    """The upload is no table that this device can have."""

    status = 422
    slug = "invalid-table"
    title = "Invalid table"


class FormatMissing(DomainError):
    """This service was installed without what reads the format."""

    status = 415
    slug = "format-not-installed"
    title = "Format not installed"


class SpaceNotCovered(DomainError):
    """A table lacks operators that a space needs."""

    status = 422
    slug = "space-not-covered"
    title = "Space not covered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What was sent, and what it must be. Sizes in bytes, once unpacked."""

    body: BinaryIO
    media_type: str
    gzipped: bool
    device_name: str
    space: Space | None
    max_rows: int
    max_bytes: int


@dataclass
class CheckedTable:
    """A table that is right in every row. Close it to drop its rows."""

    info: TableInfo
    file: BinaryIO
    rows: int = 0
    content_hash: str = ""
    warnings: list[FieldProblem] = field(default_factory=list)
    passed: suspicion.Rows = field(default_factory=suspicion.Rows)

    def groups(self) -> Iterator[list[Cells]]:
        """The rows, in groups."""
        self.file.seek(0)
        while size := self.file.read(_SIZE):
            yield marshal.loads(self.file.read(int.from_bytes(size)))

    def close(self) -> None:
        """Drops the rows."""
        self.file.close()


def check(upload: Upload) -> CheckedTable:
    """Reads the whole upload; raises TableRefused, SpaceNotCovered."""
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by its owner
    try:
        with ExitStack() as until_read:
            return _checked_table(_open(upload, until_read), upload, cast(BinaryIO, file))
    except TableErrors as error:
        file.close()
        raise _refused(error) from error
    except BaseException:
        file.close()
        raise


def _checked_table(stream: TableStream, upload: Upload, file: BinaryIO) -> CheckedTable:
    if stream.info.device != upload.device_name:
        wrong = FieldProblem(
            "device", f"the table says {stream.info.device!r}, but it was sent to {upload.device_name!r}"
        )
        raise TableRefused("The table is another device's.", errors=[wrong])
    checked = CheckedTable(stream.info, file)
    _copy(stream, checked, upload)
    return checked


def missing_operators(missing: Iterable[Operator], space: str, what: str) -> SpaceNotCovered:
    """The error for a table that lacks `missing`."""
    listed = list(missing)
    shown = ", ".join(operator.key for operator in listed[:3]) + (
        f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    )
    return SpaceNotCovered(
        f"{what} lacks {len(listed)} of the operators that the space {space!r} needs: {shown}. "
        f"GET /v1/spaces/{space}/operators lists all.",
        errors=[FieldProblem("rows", f"missing operators: {shown}")],
        missing=[operator_json(operator) for operator in listed],
    )


def _copy(stream: TableStream, checked: CheckedTable, upload: Upload) -> None:
    content = ContentHash(stream.info)
    missing = dict.fromkeys(upload.space.operators()) if upload.space else {}
    knows_boundaries = False  # a table without any holds them to be free

    def counted() -> Iterator[tuple[Operator, Entry]]:
        nonlocal knows_boundaries
        for operator, entry in stream:
            checked.rows += 1
            if checked.rows > upload.max_rows:
                raise TableRefused(
                    f"A table may have {upload.max_rows} rows here.",
                    errors=[
                        FieldProblem(
                            "rows", f"more than {upload.max_rows}: split the table, or raise LUTNAS_MAX_TABLE_ROWS"
                        )
                    ],
                )
            content.add(operator, entry)
            checked.passed.add(stream.place, operator, entry)
            if missing:
                missing.pop(operator, None)
            knows_boundaries = knows_boundaries or operator.kind == "boundary"
            yield operator, entry

    for group in grouped(counted()):
        dumped = marshal.dumps(group)  # this process alone reads it, once, and four times as fast as JSON
        checked.file.write(len(dumped).to_bytes(_SIZE) + dumped)
    if not knows_boundaries:
        missing = {operator: None for operator in missing if operator.kind != "boundary"}
    if missing and upload.space is not None:
        raise missing_operators(missing, upload.space.name, "The table")
    checked.content_hash = content.hexdigest()
    checked.warnings = [FieldProblem(w.field, w.detail, w.row) for w in stream.warnings]
    checked.warnings += islice(checked.passed.odd_units(), suspicion.KEPT)


def _open(upload: Upload, until_read: ExitStack) -> TableStream:
    if upload.media_type == "application/json":
        most = min(upload.max_bytes, JSON_BYTES)
        return stream_json(_whole_text(_unpacked(upload, most, "JSON is read whole: send CSV or Parquet.")))
    body = _unpacked(upload, upload.max_bytes)
    if upload.media_type == PARQUET:
        return _open_parquet(body, upload.max_bytes, until_read)
    return stream_csv(_lines(body))


def _open_parquet(body: Iterator[bytes], max_bytes: int, until_read: ExitStack) -> TableStream:
    """Parquet is read from its end: it goes to a file first."""
    file = until_read.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - entered
    for piece in body:
        file.write(piece)
    file.seek(0)
    try:
        return stream_parquet(file, max_bytes=max_bytes)
    except ParquetMissing as error:
        raise FormatMissing(f"This service reads no Parquet: {error}. Send CSV or JSON.") from error


def _unpacked(upload: Upload, most: int, hint: str = "Split it.") -> Iterator[bytes]:
    """The body in pieces, unzipped, never more than `most` bytes."""
    source = cast(BinaryIO, gzip.GzipFile(fileobj=upload.body, mode="rb")) if upload.gzipped else upload.body
    size = 0
    try:
        while chunk := source.read(1 << 16):
            size += len(chunk)
            if size > most:
                raise TableRefused(f"The table has more than {most} bytes once unpacked. {hint}")
            yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise TableRefused(f"The body is not whole gzip, as Content-Encoding says: {error}") from error


def _text(body: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for chunk in body:
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise TableRefused(f"The table is not UTF-8: {error.reason}.") from error


def _whole_text(body: Iterator[bytes]) -> str:
    text = io.StringIO()
    for piece in _text(body):
        text.write(piece)
    return text.getvalue()


def _lines(body: Iterator[bytes]) -> Iterator[str]:
    """Lines with their ends, so that the reader counts them as an editor does."""
    rest, number = "", 0
    for piece in _text(body):
        *whole, rest = (rest + piece).replace("\r\n", "\n").split("\n")
        for line in whole:
            number += 1
            yield _checked(line + "\n", number)
        if len(rest) > _LONGEST_LINE:
            wrong = FieldProblem("", f"the line has more than {_LONGEST_LINE} characters", number + 1)
            raise TableRefused("The table cannot be read.", errors=[wrong])
    if rest:
        yield _checked(rest, number + 1)


def _checked(line: str, number: int) -> str:
    try:
        check_text(line)
    except Unstorable as error:
        raise TableRefused("The table cannot be read.", errors=[FieldProblem("", str(error), number)]) from error
    return line


def _refused(error: TableErrors) -> TableRefused:
    wrong = [FieldProblem(e.field, e.detail, e.row) for e in error.errors]
    count = "one thing is" if error.count == 1 else f"{error.count} things are"
    counted_as = "lines of the file from 1" if error.place == "line" else "index into rows from 0"
    return TableRefused(
        f"Nothing was stored: {count} wrong with the table ({error}).",
        errors=wrong,
        error_count=error.count,
        rows_count=counted_as,
    )
