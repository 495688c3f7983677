import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random

import pytest

from latency.formats import TableErrors, read_csv, read_json, stream_csv, stream_json, write_csv, write_json
from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable, TableInfo

INFO_LINES = ["# device: pi4", "# runtime: onnxruntime", "# threads: 1", "# batch: 1"]
HEADER = "kind,h,w,c_in,c_mid,c_out,stride,kernel,groups,latency_us,p10,p90"
BLOCK = "mbconv,14,14,16,48,24,1,3,1,104.25,,"
BASE_ROW = "base,,,,,,,,,12.5,,"
INFO = {"device": "pi4", "runtime": "onnxruntime", "threads": 1, "batch": 1}
BLOCK_KEYS = {"h": 14, "w": 14, "c_in": 16, "c_mid": 48, "c_out": 24, "stride": 1, "kernel": 3, "groups": 1}
JSON_BLOCK = {"kind": "mbconv", **BLOCK_KEYS, "latency_us": 104.25}


def csv_of(*rows: str, header: str = HEADER, info: list[str] = INFO_LINES) -> list[str]:
    return [line + "\n" for line in (*info, header, *rows)]


def csv_errors(*rows: str, header: str = HEADER, info: list[str] = INFO_LINES) -> TableErrors:
    with pytest.raises(TableErrors) as caught:
        read_csv(csv_of(*rows, header=header, info=info))
    return caught.value


def json_errors(document: object) -> TableErrors:
    with pytest.raises(TableErrors) as caught:
        read_json(json.dumps(document))
    return caught.value


def table_of(count: int) -> LatencyTable:
    info = TableInfo(
        device="pi4",
        runtime="onnxruntime",
        runtime_version="1.23.2",
        threads=4,
        batch=1,
        measured_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        note='quiet, "cooled"; 5 GHz: é',
    )
    return LatencyTable(info, rows_of(count))


def rows_of(count: int) -> Iterator[tuple[Operator, Entry]]:
    rng = Random(0)
    yield BASE, Entry(12.5, provenance="published")
    for i in range(count):
        latency = rng.random() * 1000
        operator = Operator("mbconv", 1 + i % 300, 14, 16 + i // 300, 48, 24, 1, 3, 1)
        yield operator, Entry(latency, latency * 0.9, latency * 1.1, i, "measured", rng.random())
    yield Operator("skip", 7, 7, 8, 0, 16, 2, 0, 0, 8, 8, 0.5, "2:4"), Entry(1e-7)


@pytest.mark.parametrize(("write", "read"), [(write_csv, read_csv), (write_json, read_json)])
def test_a_table_comes_back_equal_to_the_last_bit(write: Callable, read: Callable) -> None:
    table = table_of(50)
    text = "".join(write(table.info, table.entries.items()))
    back = read(text if read is read_json else text.splitlines(keepends=True))
    assert back == table
    assert back.content_hash == table.content_hash


def test_what_is_blank_is_fp32_and_dense_and_unknown() -> None:
    (operator, entry), (_, base) = stream_csv(csv_of(BLOCK, BASE_ROW))
    assert operator == Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1, 32, 32, 0.0, "")
    assert entry == Entry(104.25, None, None, 0, "measured", None)
    assert base.latency_us == 12.5


def test_milliseconds_become_microseconds_with_their_spread() -> None:
    (row,) = stream_csv(csv_of("base,1.5,1.25,1.75", header="kind,latency_ms,p10,p90"))
    assert row == (BASE, Entry(1500.0, 1250.0, 1750.0))
    (row,) = stream_json(json.dumps({**INFO, "rows": [{"kind": "base", "latency_ms": 1.5}]}))
    assert row == (BASE, Entry(1500.0))


@pytest.mark.parametrize(
    ("row", "told"),
    [("1e13,,", "latency_ms: 10000000000000.0 is not between 1e-12 and 1e+12, as on any device"),
     ("1,1e-13,2", "p10: 1e-13 is not between 1e-12 and 1e+12, as on any device")],
)  # fmt: skip
def test_what_no_device_takes_is_told_in_the_files_own_columns_and_unit(row: str, told: str) -> None:
    (error,) = csv_errors(f"base,{row}", header="kind,latency_ms,p10,p90").errors
    assert f"{error.field}: {error.detail}" == told


def test_expansion_is_taken_for_c_mid() -> None:
    header = "kind,h,w,c_in,expansion,c_out,stride,kernel,groups,latency_us"
    table = read_csv(csv_of("mbconv,14,14,16,3,24,1,3,1,5", header=header))
    assert next(iter(table)).c_mid == 48


def test_a_file_that_a_spreadsheet_saved_is_read() -> None:
    lines = [
        "\ufeff# device: pi4,,,",
        '"# note: a, b",,,',
        *(f"{line},,," for line in INFO_LINES[1:]),
        "",
        "Kind,H,Latency_us",
    ]
    table = read_csv([f"{line}\r\n" for line in (*lines, "base, ,12.0", "", ",,")])
    assert (table.info.device, table.info.note, table.latency_us(BASE)) == ("pi4", "a, b", 12.0)


@pytest.mark.parametrize(
    ("row", "field", "detail"),
    [
        ("skip,14,14,16,,24,1,,,nan,,", "latency_us", "nan is not a finite number"),
        ("skip,14,14,16,,24,1,,,-inf,,", "latency_us", "-inf is not a finite number"),
        ("skip,14,14,16,,24,1,,,1e999,,", "latency_us", "not a finite number"),
        ("skip,14,14,16,,24,1,,,-3.5,,", "latency_us", "-3.5 is negative"),
        ("skip,14,14,16,,24,1,,,1.2ms,,", "latency_us", "'1.2ms' is not a number"),
        ("skip,14,14,16,,24,1,,,1_0,,", "latency_us", "'1_0' is not a number"),
        ("skip,14,14,16,,24,1,,,,,", "latency_us", "is missing"),
        ("skip,14,14,16,,24,1,,,5,6,4", "p10", "6.0 is above p90 4.0"),
        ("skip,14,14,16,,24,1,,,5,x,4", "p10", "'x' is not a number"),
        ("skip,14,14,16.5,,24,1,,,5,,", "c_in", "16.5 is not a whole number"),
        ("skip,14,14,99999999999,,24,1,,,5,,", "c_in", "not a whole number"),
        ("skip,14,14,,,24,1,,,5,,", "c_in", "a skip needs it"),
        ("skip,14,14,16,,24,1,3,,5,,", "kernel", "does not apply to a skip: leave it blank"),
        ("boundary,4,4,8,,8,,,,5,,", "c_out", "does not apply to a boundary: leave it blank"),
        ("conv,14,14,16,,24,1,3,,5,,", "kind", "'conv' is none of mbconv"),
        (",14,14,16,,24,1,3,,5,,", "kind", "'' is none of mbconv"),
        (f"{'x' * 9000},14,14,16,,24,1,3,,5,,", "kind", "xxx... is none of mbconv"),
        ("mbconv,14,14,16,48,24,1,3,1,99,,", "", "repeats mbconv 14x14 16-48-24 s1 k3, which stands first in line 6"),
        ("mbconv,14,14,16,48,24,1,3,1,99", "", "has 10 cells, the header 12"),
        ('skip,14,14,16,,24,1,,,"5', "", "is no CSV"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_field(row: str, field: str, detail: str) -> None:
    errors = csv_errors(BLOCK, "", BASE_ROW, row)
    (error,) = errors.errors
    assert (error.row, error.field) == (9, field)
    assert detail in error.detail
    assert str(errors).startswith("line 9: ")


@pytest.mark.parametrize(
    ("change", "field", "detail"),
    [
        ({"latency_us": float("nan")}, "latency_us", "nan is not a finite number"),
        ({"latency_us": -1}, "latency_us", "-1.0 is negative"),
        ({"latency_us": "1.2ms"}, "latency_us", "'1.2ms' is not a number"),
        ({"latency_us": True}, "latency_us", "True is not a number"),
        ({"latency_us": {"mean": 3}}, "latency_us", "is not a number"),
        ({"latency_us": 10**400}, "latency_us", "is too large"),
        ({"latency_us": None}, "latency_us", "is missing"),
        ({"latency_ms": 1}, "latency_us", "latency_us and latency_ms stand side by side"),
        ({"latency": 1}, "latency", "is no column of a latency table"),
        ({"bad\ud800": 1}, "'bad\\ud800'", "is no column of a latency table"),
        ({"h": 14.5}, "h", "14.5 is not a whole number"),
        ({"h": [14]}, "h", "[14] is not a number"),
        ({"h": {"of": [14]}}, "h", "is not a number"),
        ({"kind": 5}, "kind", "5 is not a text"),
        ({"sparsity": 0.5}, "pattern", "sparsity and pattern go together"),
        ({"pattern": "2:4"}, "pattern", "sparsity and pattern go together"),
        ({"weight_bits": 0}, "weight_bits", "is not between 1 and 32"),
        ({"expansion": 6}, "expansion", "makes c_mid 96, but c_mid is 48"),
        ({}, "", "which stands first in row 0"),
    ],
)
def test_a_bad_json_row_is_named_by_its_index_and_field(change: dict, field: str, detail: str) -> None:
    errors = json_errors({**INFO, "rows": [JSON_BLOCK, {"kind": "base", "latency_us": 1}, {**JSON_BLOCK, **change}]})
    (error,) = errors.errors
    assert (error.row, error.field) == (2, field)
    assert detail in error.detail
    assert str(errors).startswith("rows[2]: ")


@pytest.mark.parametrize(
    ("header", "field", "detail"),
    [
        ("kind,h,latency", "latency", "is no column of a latency table"),
        ("kind,h", "latency_us", "no unit"),
        ("kind,latency_us,latency_ms", "latency_us", "keep one"),
        ("h,latency_us", "kind", "this column is missing"),
        ("kind,h,h,latency_us", "h", "stands twice"),
    ],
)
def test_a_bad_header_is_named_by_its_line_and_column(header: str, field: str, detail: str) -> None:
    errors = csv_errors("base,1,1", header=header)
    assert [(e.row, e.field) for e in errors.errors if detail in e.detail] == [(5, field)]


@pytest.mark.parametrize(
    ("info", "field", "detail"),
    [
        (INFO_LINES[1:], "device", "is missing"),
        ([*INFO_LINES[:2], INFO_LINES[3]], "threads", "is missing"),
        ([*INFO_LINES, "# cooler: fan"], "cooler", "is not known of a table"),
        ([*INFO_LINES, "# device: pi5"], "device", "stands twice"),
        ([*INFO_LINES, "# measured by hand"], "", "write # key: value"),
        ([*INFO_LINES, "# measured_at: yesterday"], "measured_at", "is no time as in"),
        ([*INFO_LINES, "# measured_at: 2026-11-23T09:00:00"], "measured_at", "has no time zone"),
        ([*INFO_LINES, "# measured_at: 0001-01-01T00:00:00+14:00"], "measured_at", "is no time as in"),
        ([*INFO_LINES, "# measured_at: 9999-12-31T23:00:00-14:00"], "measured_at", "is no time as in"),
        ([*INFO_LINES[:2], "# threads: many", INFO_LINES[3]], "threads", "'many' is not a number"),
        ([*INFO_LINES[:3], "# batch: 0"], "batch", "is not at least 1"),
    ],
)
def test_bad_table_information_is_named(info: list[str], field: str, detail: str) -> None:
    (error,) = csv_errors(BASE_ROW, info=info).errors
    assert error.field == field
    assert detail in error.detail


def test_a_list_is_no_number_of_threads() -> None:
    (error,) = json_errors({**INFO, "threads": [1], "rows": []}).errors
    assert error == (None, "threads", "[1] is not a number")


def test_a_number_of_a_million_digits_that_is_none_is_refused_at_once() -> None:
    """Tried each way that digits can be split, it takes hours, which no test is given."""
    (error,) = json_errors({**INFO, "rows": [{"kind": "base", "latency_us": "1" * 1_000_000 + "x"}]}).errors
    assert error.field == "latency_us"
    assert "is not a number" in error.detail


def test_a_comma_at_the_end_of_a_note_is_part_of_it() -> None:
    info = TableInfo(device="pi4", runtime="onnxruntime", threads=1, batch=1, note="measured at night,")
    lines = [*write_csv(info, [(BASE, Entry(12.5))])]
    assert read_csv(lines).info == info
    spread = [line.rstrip("\n") + ",,\n" if line.startswith("#") else line for line in lines]
    assert read_csv(spread).info.device == "pi4"


@pytest.mark.parametrize("read", [read_csv, read_json])
def test_a_million_columns_are_refused_at_once_with_the_first_few(read: Callable) -> None:
    names = ["kind", "latency_us", "kind", *(f"c{n}" for n in range(1_000_000))]
    row = "{" + ",".join(f'"{name}":1' for name in names) + "}"
    file = f'{json.dumps(INFO)[:-1]}, "rows": [{row}]}}' if read is read_json else csv_of(header=",".join(names))
    # Counted name by name it takes hours, which no test is given.
    with pytest.raises(TableErrors) as caught:
        read(file)
    (error,) = caught.value.errors
    assert "has 1000003 columns" in error.detail
    assert error.detail.endswith("the first others are kind, c0, c1, c2, c3")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{", "is no JSON"),
        ("[]", "is no table"),
        ('{"device": "pi4"}', "is no table"),
        ("[" * 100_000, "is no JSON"),
        (b'\xff\xfe{"rows"', "is no JSON"),
    ],
)
def test_a_text_that_is_no_table_is_refused(text: str | bytes, detail: str) -> None:
    with pytest.raises(TableErrors, match=detail):
        read_json(text)


def test_an_empty_table_is_refused() -> None:
    assert "the table is empty" in str(csv_errors())
    assert "the table is empty" in str(json_errors({**INFO, "rows": []}))
    assert "no header" in str(csv_errors(header="", info=INFO_LINES))


def test_fifty_errors_are_kept_and_the_rest_counted() -> None:
    errors = csv_errors(*[f"skip,14,14,16,,{i},1,,,-1,," for i in range(1, 71)])
    assert (len(errors.errors), errors.count) == (50, 70)
    assert str(errors).endswith("and 65 more")


@pytest.mark.parametrize("row", ["base,1", "base,,,,,,,,,-1,,"])
def test_reading_stops_at_the_ten_thousandth_bad_row(row: str) -> None:
    endless = itertools.chain(csv_of(), itertools.repeat(f"{row}\n"))
    with pytest.raises(TableErrors, match=r"and 9995 more, where reading stopped$") as caught:
        read_csv(endless)
    assert caught.value.count == 10_000


def test_a_wide_spread_is_a_warning_by_line_and_no_error() -> None:
    stream = stream_csv(csv_of("skip,14,14,16,,24,1,,,10,9,12", "skip,14,14,16,,25,1,,,10,9,12.5"))
    assert len(stream.table()) == 2
    (warning,) = stream.warnings
    assert (warning.row, warning.field) == (7, "p90")


def test_good_rows_come_before_the_error_is_raised_at_the_end() -> None:
    stream = stream_csv(csv_of(BLOCK, "base,,,,,,,,,-1,,", "skip,14,14,16,,24,1,,,5,,"))
    rows: list[tuple[Operator, Entry]] = []
    with pytest.raises(TableErrors):
        rows.extend(stream)
    assert [operator.kind for operator, _ in stream] == []
    assert len(rows) <= 2


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_table_of_many_rows_stays_small_in_memory(kind: str) -> None:
    rows, bytes_a_row = 5_000, 800
    table = table_of(rows)
    write = write_csv if kind == "csv" else write_json
    pieces = list(write(table.info, table.entries.items()))
    text = "".join(pieces)
    tracemalloc.start()
    try:
        again = read_csv(pieces) if kind == "csv" else read_json(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(again) == rows + 2
    assert peak < rows * bytes_a_row


BOUNDARY = {"kind": "boundary", "h": 4, "w": 4, "c_in": 8}


@pytest.mark.parametrize(
    ("change", "field", "detail"),
    [
        ({"kind": "base", "weight_bits": 8}, "weight_bits", "does not apply to a base: leave it blank"),
        ({"kind": "base", "activation_bits": 8}, "activation_bits", "does not apply: a base has no other"),
        ({**BOUNDARY, "weight_bits": 8}, "weight_bits", "does not apply to a boundary"),
        ({**BOUNDARY, "activation_bits": 4}, "activation_bits", "is 8 into integers"),
        ({"kind": "base", "sparsity": 0.5, "pattern": "2:4"}, "sparsity", "does not apply to a base: leave it blank"),
    ],
)
def test_what_has_no_weights_has_no_bits_of_its_own(change: dict, field: str, detail: str) -> None:
    """A row that says otherwise would match no operator, and look like one that does."""
    (error,) = json_errors({**INFO, "rows": [{**change, "latency_us": 1.0}]}).errors
    assert (error.row, error.field) == (0, field)
    assert detail in error.detail


def test_nothing_is_one_latency_whatever_its_sign() -> None:
    minus, plus = (read_csv(csv_of(f"base,,,,,,,,,{value},,")) for value in ("-0.0", "0"))
    assert str(minus.entries[BASE].latency_us) == "0.0"
    assert minus.content_hash == plus.content_hash
    assert LatencyTable(plus.info, {BASE: Entry(-0.0)}).content_hash == plus.content_hash
