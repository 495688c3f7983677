import hashlib
import json
from dataclasses import astuple, replace
from datetime import UTC, datetime

import pytest

from latency.operator import BASE, Operator
from latency.table import Change, Entry, FieldError, LatencyTable, MissingOperator, TableInfo

INFO = TableInfo(device="pi4", runtime="onnxruntime", runtime_version="1.23", threads=1, batch=1)
BLOCK = Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1)
SKIP = Operator("skip", 14, 14, 16, 0, 24, 1)
IDENTITY = Operator("skip", 14, 14, 24, 0, 24, 1)
ROWS = {BASE: Entry(12.5), BLOCK: Entry(104.25, 103.0, 110.0, 96), SKIP: Entry(7)}


def test_an_identity_costs_nothing_unless_the_table_says_so() -> None:
    assert LatencyTable(INFO, ROWS).latency_us(IDENTITY) == 0.0
    assert LatencyTable(INFO, {**ROWS, IDENTITY: Entry(0.5)}).latency_us(IDENTITY) == 0.5


def test_the_content_hash_is_of_rows_as_json_writes_them() -> None:
    sparse = Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1, 8, 8, 0.5, "2:4")
    rows = {**ROWS, sparse: Entry(1e-7, 0.1, 3, 2**31 - 1, "simulated", 0.1 + 0.2), IDENTITY: Entry(1e15, p90_us=1e15)}
    digest = hashlib.sha256(json.dumps(["pi4", "onnxruntime", "1.23", 1, 1]).encode())
    digests = []
    for operator, entry in rows.items():
        *exact, sparsity, pattern = astuple(operator)
        latency, p10, p90, samples, provenance, energy = astuple(entry)
        floats = (sparsity, latency, p10, p90, energy)
        written = [*exact, pattern, samples, provenance, *(None if v is None else float(v) for v in floats)]
        digests.append(hashlib.sha256(json.dumps(written).encode()).digest())
    for row in sorted(digests):
        digest.update(row)
    assert LatencyTable(INFO, rows).content_hash == digest.hexdigest()


def test_a_missing_operator_is_named() -> None:
    with pytest.raises(MissingOperator, match="pi4 has no entry for mbconv 14x14 16-48-24 s1 k3") as caught:
        LatencyTable(INFO, {BASE: Entry(1)}).latency_us(BLOCK)
    assert caught.value.operator == BLOCK


def test_missing_lists_each_operator_once_in_order_and_no_identity() -> None:
    other = replace(BLOCK, kernel=5)
    table = LatencyTable(INFO, {BASE: Entry(1)})
    assert table.missing([SKIP, other, IDENTITY, SKIP, BASE, BLOCK]) == [SKIP, other, BLOCK]


def test_the_hash_does_not_depend_on_row_order_note_or_time() -> None:
    table = LatencyTable(INFO, ROWS)
    told = replace(INFO, note="again", measured_at=datetime(2026, 11, 23, tzinfo=UTC))
    assert LatencyTable(told, reversed(list(ROWS.items()))).content_hash == table.content_hash
    assert LatencyTable(INFO, ROWS | {SKIP: Entry(7.0)}).content_hash == table.content_hash


@pytest.mark.parametrize(
    "other",
    [
        LatencyTable(INFO, ROWS | {SKIP: Entry(7.000000000000001)}),
        LatencyTable(INFO, ROWS | {SKIP: Entry(7, energy_uj=1.0)}),
        LatencyTable(INFO, ROWS | {IDENTITY: Entry(0.0)}),
        LatencyTable(replace(INFO, threads=2), ROWS),
        LatencyTable(replace(INFO, device="pi5"), ROWS),
    ],
)
def test_the_hash_depends_on_what_counts(other: LatencyTable) -> None:
    assert other.content_hash != LatencyTable(INFO, ROWS).content_hash


def test_a_table_is_not_changed_by_what_it_was_made_from() -> None:
    rows = dict(ROWS)
    table = LatencyTable(INFO, rows)
    rows[BLOCK] = Entry(1.0)
    assert table.latency_us(BLOCK) == 104.25
    with pytest.raises(TypeError):
        table.entries[BLOCK] = Entry(1.0)  # type: ignore[index]


def test_a_difference_tells_added_removed_and_changed() -> None:
    new = LatencyTable(INFO, {BASE: Entry(12.5), BLOCK: Entry(100.0), IDENTITY: Entry(0.1)})
    assert new.difference(LatencyTable(INFO, ROWS)) == ([IDENTITY], [SKIP], [Change(BLOCK, 104.25, 100.0)])


def test_noisy_entries_are_found_by_their_relative_spread() -> None:
    table = LatencyTable(INFO, {BASE: Entry(10, 9, 12), BLOCK: Entry(10, 9, 12.1), SKIP: Entry(10)})
    assert table.noisy() == [BLOCK]


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ({"latency_us": float("nan")}, "latency_us"),
        ({"latency_us": -1.0}, "latency_us"),
        ({"latency_us": 1.0, "p90_us": float("inf")}, "p90_us"),
        ({"latency_us": 1.0, "p10_us": 2.0, "p90_us": 1.0}, "p10_us"),
        ({"latency_us": 1.0, "samples": -1}, "samples"),
        ({"latency_us": 1.0, "provenance": "guessed"}, "provenance"),
    ],
)
def test_an_entry_that_cannot_be_names_the_field(entry: dict, wrong: str) -> None:
    with pytest.raises(FieldError) as caught:
        Entry(**entry)
    assert caught.value.field == wrong


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"device": ""}, "device"),
        ({"note": "two\nlines"}, "note"),
        ({"threads": 0}, "threads"),
        ({"measured_at": datetime(2026, 11, 23)}, "measured_at"),
    ],
)
def test_table_information_that_cannot_be_names_the_field(change: dict, wrong: str) -> None:
    with pytest.raises(FieldError) as caught:
        replace(INFO, **change)
    assert caught.value.field == wrong
