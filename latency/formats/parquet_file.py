"""Latency tables as Parquet: the columns of the CSV form, and what holds for the whole table in the file's metadata.

pyarrow writes that with `table.replace_schema_metadata({"device": "pi4", "runtime": ..., "threads": "1", ...})`; what
else stands there (pandas leaves a note) is not read. Blank is null. Needs `lutnas[parquet]`.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

from latency.formats.columns import COLUMNS, INFO_FIELDS, RowParser, cells_of, check_columns, name_of, parse_info, show
from latency.formats.errors import ErrorList, TableErrors
from latency.formats.stream import Cells, Row, TableStream, refuse
from latency.table import LatencyTable, TableInfo, info_fields

GROUP = 5000
LONGEST_TEXT = 1000
LARGEST_GROUP = 64 << 20  # bytes: some 400,000 rows
_TEXTS = ("kind", "pattern", "provenance")
_FLOATS = ("sparsity", "latency_us", "p10", "p90", "energy_uj")


class ParquetMissing(RuntimeError):
    """pyarrow is not installed."""

    def __init__(self) -> None:
        super().__init__("pyarrow is not installed: pip install 'lutnas[parquet]'")


def read_parquet(file: IO[bytes]) -> LatencyTable:
    """A table from an open file. Raises TableErrors, rows counted from 0, and ParquetMissing."""
    return stream_parquet(file).table()


def stream_parquet(file: IO[bytes], *, max_bytes: int | None = None) -> TableStream:
    """The same row by row. Raises TableErrors at once where the file is no Parquet, its columns or the information
    about the table are wrong, or it would have more than `max_bytes` unpacked.
    """
    arrow, parquet = _arrow()
    errors = ErrorList("row")
    try:
        schema = parquet.read_schema(file)
        file.seek(0)
        # A text that repeats is stored once. Read as a dictionary it stays so, and is looked at before it is unpacked.
        opened = parquet.ParquetFile(file, read_dictionary=[f.name for f in schema if _is_text(f.type, arrow)])
        metadata = opened.metadata
        sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
        noted = {_text(key): _text(value) for key, value in (schema.metadata or {}).items()}
    except (arrow.ArrowException, OSError, ValueError, ArithmeticError) as error:
        refuse(errors, None, f"is no Parquet: {show(str(error))}")
    if max_bytes is not None and sum(sizes) > max_bytes:
        refuse(errors, None, f"has {sum(sizes)} bytes once unpacked; {max_bytes} are taken")
    if (largest := max(sizes, default=0)) > LARGEST_GROUP:  # a column of it is unpacked at once
        told = f"{largest} bytes once unpacked; {LARGEST_GROUP} are taken: write fewer rows a group"
        refuse(errors, None, f"has a row group of {told}")
    info = parse_info({name: noted[name] for name in INFO_FIELDS if name in noted}, errors)
    columns = [name.lower() for name in schema.names]
    check_columns(columns, errors, None)
    for name, field in zip(columns, schema, strict=True):
        if not _is_plain(field.type, arrow):  # lists and the like take more than a file's metadata says
            errors.add(None, name_of(name), f"is of type {show(str(field.type))}: write integers, floats or strings")
    errors.raise_any()
    assert info is not None
    return TableStream(info, _rows(opened, columns, arrow, errors), errors)


def _rows(opened: Any, columns: list[str], arrow: Any, errors: ErrorList) -> Iterator[Cells]:
    parser, number = RowParser(columns), 0
    try:
        for batch in opened.iter_batches(GROUP):
            for name, column in zip(columns, batch.columns, strict=True):
                if _longest(column, arrow) > LONGEST_TEXT:
                    errors.add(None, name, f"holds a text of more than {LONGEST_TEXT} bytes")
                    errors.raise_any()
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield number, parser, cells
                number += 1
    except TableErrors:
        raise
    except (arrow.ArrowException, OSError, ValueError, ArithmeticError) as error:
        refuse(errors, None, f"is no whole Parquet: {show(str(error))}")


def _longest(column: Any, arrow: Any) -> int:
    """Bytes of the longest text of a column; 0 of numbers."""
    values = column.dictionary if isinstance(column, arrow.DictionaryArray) else column
    if not _is_text(values.type, arrow) or not len(values):
        return 0
    from pyarrow import compute

    return int(compute.max(compute.binary_length(values)).as_py() or 0)


def _is_plain(type_: Any, arrow: Any) -> bool:
    """Whether a column holds numbers or texts alone, or nothing."""
    types = arrow.types
    if types.is_dictionary(type_):
        return _is_plain(type_.value_type, arrow)
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_null(type_)) or _is_text(type_, arrow)


def _is_text(type_: Any, arrow: Any) -> bool:
    types = arrow.types
    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_binary(type_) or types.is_large_binary(type_)
    )


def write_parquet(info: TableInfo, rows: Iterable[Row], file: IO[bytes]) -> None:
    """Writes a Parquet file. Reading it gives back equal values to the last bit."""
    arrow, parquet = _arrow()
    schema = arrow.schema(
        [(name, _type(name, arrow)) for name in COLUMNS],
        metadata={name: str(value) for name, value in info_fields(info).items()},
    )
    left = iter(rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := [cells_of(operator, entry) for operator, entry in islice(left, GROUP)]:
            writer.write_batch(arrow.RecordBatch.from_pylist(group, schema))


def _type(name: str, arrow: Any) -> Any:
    if name in _TEXTS:
        return arrow.string()
    return arrow.float64() if name in _FLOATS else arrow.int64()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ParquetMissing from None
    return pyarrow, parquet
