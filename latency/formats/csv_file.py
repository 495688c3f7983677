"""Latency tables as CSV: `# key: value` lines about the whole table, a header, one row an operator.

# device: pi4
# runtime: onnxruntime
# threads: 1
# batch: 1
kind,h,w,c_in,c_mid,c_out,stride,kernel,groups,latency_us
base,,,,,,,,,12.5
mbconv,14,14,16,48,24,1,3,1,104.25
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from latency.formats.columns import (
    COLUMNS,
    INFO_FIELDS,
    RowParser,
    Value,
    cells_of,
    check_columns,
    name_of,
    parse_info,
    show,
)
from latency.formats.errors import ErrorList
from latency.formats.stream import Cells, Row, TableStream, refuse
from latency.table import LatencyTable, TableInfo, info_fields

if TYPE_CHECKING:
    from _csv import Reader


def read_csv(lines: Iterable[str]) -> LatencyTable:
    """A table from the lines of a CSV file, e.g. an open file. Raises TableErrors, rows counted as lines from 1."""
    return stream_csv(lines).table()


def stream_csv(lines: Iterable[str]) -> TableStream:
    """The same row by row. Raises TableErrors at once where header or table information are wrong."""
    errors = ErrorList("line")
    reader = csv.reader(lines, strict=True)
    known: dict[str, Value] = {}
    header: list[str] | None = None
    for cells in _cells(reader, errors):
        if not cells[0].lstrip("\ufeff").startswith("#"):
            header = [cell.lstrip("\ufeff").lower() for cell in cells]
            break
        # A spreadsheet adds commas up to the table's width, and a comma in a note makes cells of its own.
        while not cells[-1]:
            cells.pop()
        _note(",".join(cells).lstrip("\ufeff# "), known, errors, reader.line_num)
    info = parse_info(known, errors)
    if header is None:
        refuse(errors, None, "the file has no header: the first line without # names the columns")
    check_columns(header, errors, reader.line_num)
    errors.raise_any()
    assert info is not None
    return TableStream(info, _rows(reader, header, errors), errors)


def _note(text: str, known: dict[str, Value], errors: ErrorList, line: int) -> None:
    key, colon, value = text.partition(":")
    key = key.strip().lower()
    if not colon:
        errors.add(line, "", f"{show(text)} says nothing about the table: write # key: value")
    elif key not in INFO_FIELDS:  # said here, where its line is known, and it need not be kept
        errors.add(line, name_of(key), f"is not known of a table; there are {', '.join(INFO_FIELDS)}")
    elif key in known:
        errors.add(line, name_of(key), "stands twice")
    else:
        known[key] = value.strip()


def _cells(reader: "Reader", errors: ErrorList) -> Iterator[list[str]]:
    """Rows that are not blank, cells without blanks around them."""
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield cells
    except csv.Error as error:
        refuse(errors, reader.line_num, f"is no CSV: {error}")


def _rows(reader: "Reader", header: list[str], errors: ErrorList) -> Iterator[Cells]:
    parser = RowParser(header)
    for cells in _cells(reader, errors):
        if len(cells) != len(header):
            errors.add(reader.line_num, "", f"has {len(cells)} cells, the header {len(header)}")
        else:
            yield reader.line_num, parser, tuple(cells)


def write_csv(info: TableInfo, rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a CSV file, with their ends. Reading them gives back equal values to the last bit."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def take() -> str:
        text = line.getvalue()
        line.seek(0)
        line.truncate()
        return text

    for name, value in info_fields(info).items():
        writer.writerow([f"# {name}: {value}"])
        yield take()
    writer.writerow(COLUMNS)
    yield take()
    for operator, entry in rows:
        cells = cells_of(operator, entry)
        writer.writerow([cells.get(name, "") for name in COLUMNS])  # a float is written as its repr
        yield take()
