"""What is odd about a table is told by row; true tables of odd devices are left alone."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.tables import suspicion
from benchmarks._tables import read_table
from tests.api.making import CSV, a_table_csv

FIRST_ROW = 7  # of `a_table_csv`: five lines about the table, then the header


@pytest.fixture
def client_of_two(client: TestClient) -> TestClient:
    """Two devices, cpu and pi4."""
    for name in ("cpu", "pi4"):
        assert client.post("/v1/devices", json={"name": name}).status_code == 201
    return client


def uploaded(client: TestClient, body: str, device: str = "cpu", kind: str = "text/csv") -> list[dict[str, Any]]:
    """The warnings of an upload that is taken."""
    answer = client.post(f"/v1/devices/{device}/tables", content=body.encode(), headers={"Content-Type": kind})
    assert answer.status_code in (200, 201), answer.text
    found: list[dict[str, Any]] = answer.json()["warnings"]
    return found


def with_latencies(text: str, changed: dict[int, str]) -> str:
    """The table with the latency of some lines (from 1) replaced."""
    lines = text.splitlines()
    at = lines[FIRST_ROW - 2].split(",").index("latency_us")
    for line, latency in changed.items():
        cells = lines[line - 1].split(",")
        cells[at] = latency
        lines[line - 1] = ",".join(cells)
    return "\n".join(lines) + "\n"


def places(warnings: Sequence[dict[str, Any]]) -> list[int | None]:
    return [warning["row"] for warning in warnings]


def test_a_plain_table_has_no_warnings(client_of_two: TestClient) -> None:
    assert uploaded(client_of_two, a_table_csv()) == []


def test_rows_in_milliseconds_among_microseconds_are_named_by_line(client_of_two: TestClient) -> None:
    found = uploaded(client_of_two, with_latencies(a_table_csv(), {12: "0.017", 30: "0.035"}))
    assert places(found) == [12, 30]
    assert "times less than rows of its size: is it in another unit?" in found[0]["detail"]


def test_rows_of_a_json_table_are_named_by_index(client_of_two: TestClient) -> None:
    client_of_two.post("/v1/devices/cpu/tables", content=a_table_csv().encode(), headers=CSV)
    (table,) = client_of_two.get("/v1/devices/cpu/tables").json()["items"]
    document = json.loads(client_of_two.get(f"/v1/tables/{table['id']}/file?format=json").text)
    document["rows"][5]["latency_us"] *= 1000
    assert places(uploaded(client_of_two, json.dumps(document), kind="application/json")) == [5]


def test_a_table_in_another_unit_than_the_version_before_is_told(client_of_two: TestClient) -> None:
    uploaded(client_of_two, a_table_csv())
    (found,) = uploaded(client_of_two, a_table_csv(scale=0.001))
    assert found["row"] is None
    assert found["detail"].startswith("latencies are 0.001 times those of version 1")
    assert uploaded(client_of_two, a_table_csv(scale=0.002)) == []


def test_rows_copied_from_another_device_are_named_by_line(client_of_two: TestClient) -> None:
    uploaded(client_of_two, a_table_csv(device="pi4", scale=1.37), device="pi4")
    one_copied = {FIRST_ROW + n: repr(1.37 * (10.0 + n)) for n in (4,)}
    assert uploaded(client_of_two, with_latencies(a_table_csv(), one_copied)) == []  # may be chance
    copied = {FIRST_ROW + n: repr(1.37 * (10.0 + n)) for n in range(20, 30)}
    found = uploaded(client_of_two, with_latencies(a_table_csv(), copied))
    assert places(found) == list(copied)
    assert "equals the row of pi4 (version 1) to the last digit" in found[0]["detail"]


def test_a_table_that_stood_in_another_order_has_no_rows_named(client_of_two: TestClient) -> None:
    uploaded(client_of_two, a_table_csv(device="pi4"), device="pi4")
    assert len(uploaded(client_of_two, a_table_csv())) > 3
    head, rows = a_table_csv().splitlines()[: FIRST_ROW - 1], a_table_csv().splitlines()[FIRST_ROW - 1 :]
    (found,) = uploaded(client_of_two, "\n".join([*head, *rows[::-1]]) + "\n")
    assert found["row"] is None
    assert "rows equal those of pi4 (version 1)" in found["detail"]


def test_one_owner_is_told_nothing_of_anothers_devices(client_of_two: TestClient, stranger: httpx.Headers) -> None:
    uploaded(client_of_two, a_table_csv(device="pi4"), device="pi4")
    assert client_of_two.post("/v1/devices", json={"name": "cpu"}, headers=stranger).status_code == 201
    answer = client_of_two.post("/v1/devices/cpu/tables", content=a_table_csv(), headers={**CSV, **stranger})
    assert answer.json()["warnings"] == []


@pytest.mark.skipif("LUTNAS_REAL_TABLES" not in os.environ, reason="LUTNAS_REAL_TABLES names no folder of real tables")
@pytest.mark.parametrize("device", ["raspi4", "pixel3", "titanxp_1", "gold_6240"])
def test_tables_of_real_devices_hold_nothing_odd(device: str) -> None:
    rows = suspicion.Rows()
    table = read_table(Path(os.environ["LUTNAS_REAL_TABLES"]) / "luts" / f"fbnet_cifar_{device}.csv")
    for place, (operator, entry) in enumerate(table.entries.items()):
        rows.add(place, operator, entry)
    assert list(rows.odd_units()) == []
