"""Latency tables as JSON: what holds for the whole table, and `rows` with the columns of the CSV form as keys.

{"device": "pi4", "runtime": "onnxruntime", "threads": 1, "batch": 1,
 "rows": [{"kind": "base", "latency_us": 12.5},
          {"kind": "mbconv", "h": 14, "w": 14, "c_in": 16, "c_mid": 48, "c_out": 24, "stride": 1, "kernel": 3,
           "groups": 1, "latency_us": 104.25}]}
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from latency.formats.columns import RowParser, Value, cells_of, check_columns, name_of, parse_info
from latency.formats.errors import ErrorList
from latency.formats.stream import Cells, Row, TableStream, refuse
from latency.table import LatencyTable, TableInfo, info_fields

_CompactRow = tuple[tuple[str, ...], tuple[Value, ...]]  # names shared by all rows that have the same, and their values


def read_json(text: str | bytes) -> LatencyTable:
    """A table from a JSON file's content. Raises TableErrors, rows counted as index into `rows` from 0."""
    return stream_json(text).table()


def stream_json(text: str | bytes) -> TableStream:
    """The same row by row. Raises TableErrors at once where the text is no JSON or the table information is wrong."""
    errors = ErrorList("row")
    names: dict[tuple[str, ...], tuple[str, ...]] = {}
    strings: dict[Value, Value] = {}

    def compact(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _CompactRow:
        """Rows as tuples at once: 100,000 of them as dicts would take 70 MB."""
        keys = tuple(key for key, _ in pairs)
        if "rows" in keys:
            return _document(pairs, errors)
        values = tuple(strings.setdefault(v, v) if isinstance(v, str) else v for _, v in pairs)
        return names.setdefault(keys, keys), values

    try:
        document = json.loads(text, object_pairs_hook=compact)
    except (ValueError, RecursionError) as error:
        refuse(errors, None, f"is no JSON: {error}")
    if not isinstance(document, dict):
        refuse(errors, None, 'is no table: write {"device": ..., "runtime": ..., "rows": [...]}')
    rows = document.pop("rows")
    info = parse_info(document, errors)
    if not isinstance(rows, list):
        errors.add(None, "rows", "is not a list")
    errors.raise_any()
    assert info is not None
    return TableStream(info, _rows(rows, errors), errors)


def _document(pairs: list[tuple[str, Any]], errors: ErrorList) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in pairs:
        if key in known:
            errors.add(None, name_of(key), "stands twice")
        known[key] = value
    return known


def _rows(rows: list[Any], errors: ErrorList) -> Iterator[Cells]:
    parsers: dict[tuple[str, ...], RowParser] = {}
    rows.reverse()
    for index in range(len(rows)):
        row = rows.pop()  # from the end, so that memory is given back on the way
        if not isinstance(row, tuple):
            errors.add(index, "", "is not an object")
            continue
        columns, values = row
        if columns not in parsers:
            before = errors.count
            check_columns(columns, errors, index)
            if errors.count > before:
                continue
            parsers[columns] = RowParser(columns)
        yield index, parsers[columns], values


def write_json(info: TableInfo, rows: Iterable[Row]) -> Iterator[str]:
    """Pieces of a JSON file, one row a line. Reading them gives back equal values to the last bit."""
    head = json.dumps(info_fields(info), allow_nan=False, ensure_ascii=False)
    yield head.removesuffix("}") + ', "rows": ['
    comma = "\n"
    for operator, entry in rows:
        yield comma + json.dumps(cells_of(operator, entry), allow_nan=False)
        comma = ",\n"
    yield "\n]}\n"
