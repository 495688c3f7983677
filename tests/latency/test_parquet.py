"""Parquet carries the same tables as CSV and JSON, and names what is wrong in the same way."""

import io
import math
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from latency.formats import TableErrors, read_parquet, write_parquet
from latency.operator import BASE, Operator
from latency.table import Entry
from tests.latency.test_formats import table_of

ABOUT = {"device": "pi4", "runtime": "onnxruntime", "threads": "1", "batch": "1"}
BLOCK: dict[str, Any] = {
    "kind": "mbconv",
    "h": 14,
    "w": 14,
    "c_in": 16,
    "c_mid": 48,
    "c_out": 24,
    "stride": 1,
    "kernel": 3,
    "groups": 1,
}


def a_file(rows: list[dict[str, Any]], about: dict[str, str] = ABOUT, **types: pyarrow.DataType) -> io.BytesIO:
    """What somebody writes with pyarrow alone."""
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    for name, type_ in types.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(type_))
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"pandas": "{}", **about}), file)
    file.seek(0)
    return file


def test_a_table_comes_back_equal_to_the_last_bit() -> None:
    table, file = table_of(50), io.BytesIO()
    write_parquet(table.info, table.entries.items(), file)
    file.seek(0)
    back = read_parquet(file)
    assert back == table
    assert back.content_hash == table.content_hash


def test_columns_of_other_number_types_are_read() -> None:
    rows = [{**BLOCK, "latency_ms": 0.5}, {"kind": "base", "latency_ms": 2.0}]
    table = read_parquet(a_file(rows, h=pyarrow.float64(), kernel=pyarrow.int8(), kind=pyarrow.large_string()))
    assert table.entries == {Operator(**BLOCK): Entry(500.0), BASE: Entry(2000.0)}


@pytest.mark.parametrize(
    ("change", "row", "field", "detail"),
    [
        ({"latency_us": -1.0}, 1, "latency_us", "-1.0 is negative"),
        ({"latency_us": math.nan}, 1, "latency_us", "nan is not a finite number"),
        ({"h": 0}, 1, "h", "a mbconv needs it"),
        ({"kind": "conv"}, 1, "kind", "'conv' is none of"),
    ],
)
def test_a_bad_row_is_named_by_its_index_and_field(change: dict[str, Any], row: int, field: str, detail: str) -> None:
    with pytest.raises(TableErrors) as caught:
        read_parquet(a_file([{"kind": "base", "latency_us": 1.0}, {**BLOCK, "latency_us": 5.0, **change}]))
    (error,) = caught.value.errors
    assert (error.row, error.field) == (row, field)
    assert detail in error.detail


def test_what_is_no_parquet_or_says_nothing_about_the_table_is_refused() -> None:
    with pytest.raises(TableErrors, match="is no Parquet"):
        read_parquet(io.BytesIO(b"kind,latency_us\n"))
    with pytest.raises(TableErrors, match="device: is missing"):
        read_parquet(a_file([{"kind": "base", "latency_us": 1.0}], about={}))
    with pytest.raises(TableErrors, match="speed: is no column of a latency table"):
        read_parquet(a_file([{"kind": "base", "latency_us": 1.0, "speed": 3.0}]))
    whole = a_file([{"kind": "base", "latency_us": 1.0}]).getvalue()
    with pytest.raises(TableErrors, match="is no"):
        read_parquet(io.BytesIO(whole[: len(whole) // 2]))


def test_a_text_that_repeats_is_refused_before_it_is_unpacked() -> None:
    many = [{"kind": "x" * 40_000, "latency_us": 1.0}] * 5000
    with pytest.raises(TableErrors, match="kind: holds a text of more than 1000 bytes"):
        read_parquet(a_file(many))


def test_a_row_group_beyond_measure_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency.formats.parquet_file.LARGEST_GROUP", 1000)
    with pytest.raises(TableErrors, match=r"a row group of \d+ bytes once unpacked; 1000 are taken"):
        read_parquet(a_file([{"kind": "x" * 40_000, "latency_us": 1.0}]))


@pytest.mark.parametrize("type_", [pyarrow.timestamp("us"), pyarrow.duration("ms"), pyarrow.bool_()])
def test_a_column_that_holds_no_numbers_or_texts_is_refused_before_a_row_is_read(type_: pyarrow.DataType) -> None:
    rows = [{"kind": "base", "latency_us": 2**62}]
    with pytest.raises(TableErrors, match=r"^latency_us: is of type '(timestamp|duration|bool).*: write integers"):
        read_parquet(a_file(rows, latency_us=type_))


def test_lists_and_bytes_of_one_length_are_refused_before_they_are_unpacked() -> None:
    with pytest.raises(TableErrors, match=r"^h: is of type 'list<"):
        read_parquet(a_file([{**BLOCK, "latency_us": 5.0, "h": [14]}]))
    with pytest.raises(TableErrors, match=r"^kind: is of type 'fixed_size_binary\[100000\]'"):
        read_parquet(a_file([{"kind": b"x" * 100_000, "latency_us": 1.0}], kind=pyarrow.binary(100_000)))


def test_a_text_column_of_categories_is_read() -> None:
    categories = pyarrow.dictionary(pyarrow.int8(), pyarrow.string())
    assert read_parquet(a_file([{"kind": "base", "latency_us": 1.0}], kind=categories)).entries == {BASE: Entry(1.0)}
