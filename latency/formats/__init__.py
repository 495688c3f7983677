"""Latency tables as files: CSV, JSON and Parquet, in and out, with errors that name the row.

    table = read_csv(path.open(encoding="utf-8", newline=""))                         whole tables
    stream = stream_csv(lines); stream.info; for operator, entry in stream: ...       row by row, for large ones
    path.write_text("".join(write_csv(table.info, table.entries.items())), encoding="utf-8")

The columns are in `latency.formats.columns`. Errors: `TableErrors`, see `latency.formats.errors`.
"""

from latency.formats.csv_file import read_csv, stream_csv, write_csv
from latency.formats.errors import TableError, TableErrors
from latency.formats.json_file import read_json, stream_json, write_json
from latency.formats.parquet_file import ParquetMissing, read_parquet, stream_parquet, write_parquet
from latency.formats.stream import TableStream

__all__ = [
    "ParquetMissing",
    "TableError",
    "TableErrors",
    "TableStream",
    "read_csv",
    "read_json",
    "read_parquet",
    "stream_csv",
    "stream_json",
    "stream_parquet",
    "write_csv",
    "write_json",
    "write_parquet",
]
