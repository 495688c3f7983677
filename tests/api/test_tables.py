"""Uploads of tables: whole or not at all, with problems that name field and row."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from api.db.session import Database
from api.settings import Settings
from api.tables.rows import operator_hash, operator_json
from api.tables.upload import JSON_BYTES, TableRefused, Upload, check
from latency.formats import read_csv, read_json, read_parquet
from latency.operator import Operator
from latency.table import LatencyTable
from tests.api.making import CSV, a_long_csv, a_table_csv, row_counts

HEAD = "# device: cpu\n# runtime: test\n# threads: 1\n# batch: 1\n"
COLUMNS = "kind,h,w,c_in,c_mid,c_out,stride,kernel,groups,latency_us\n"
BASE = "base,,,,,,,,,12.5\n"
BLOCK = "mbconv,14,14,16,48,24,1,3,1,{}\n"
BAD = {
    "a NaN": (HEAD + COLUMNS + BASE + BLOCK.format("nan"), "latency_us", 7),
    "a negative latency": (HEAD + COLUMNS + BASE + BLOCK.format(-3), "latency_us", 7),
    "a duplicate row": (HEAD + COLUMNS + BASE + BLOCK.format(3) + BLOCK.format(4), "", 8),
    "no unit": (HEAD + COLUMNS.replace("latency_us", "latency") + BASE, "latency_us", 5),
    "text in a number": (HEAD + COLUMNS + BASE + BLOCK.format("3.5 ms"), "latency_us", 7),
    "a shape that does not fit a database": (HEAD + COLUMNS + BASE + BLOCK.format(3).replace("14", "9" * 30), "h", 7),
    "another device": (HEAD.replace("cpu", "pi4") + COLUMNS + BASE, "device", None),
    "no rows": (HEAD + COLUMNS, "rows", None),
    "a NUL": (HEAD + COLUMNS + "base\0,,,,,,,,,12.5\n", "", 6),
}


@pytest.fixture
def cpu(client: TestClient) -> str:
    assert client.post("/v1/devices", json={"name": "cpu"}).status_code == 201
    return "/v1/devices/cpu/tables"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_named_by_field_and_row_and_changes_nothing(
    client: TestClient, database: Database, cpu: str, name: str
) -> None:
    content, field, row = BAD[name]
    before = row_counts(database)
    answer = client.post(cpu, content=content.encode(), headers=CSV)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:lutnas:problem:invalid-table"
    assert (field, row) in [(error["field"], error.get("row")) for error in answer.json()["errors"]]
    assert row_counts(database) == before


def test_a_wrong_row_behind_many_good_ones_keeps_none_of_them(client: TestClient, database: Database, cpu: str) -> None:
    before = row_counts(database)
    body = b"".join(a_long_csv(4000)) + b"mbconv,600,1,16,48,24,1,3,1,-1,,,\n"
    answer = client.post(cpu, content=body, headers=CSV)
    assert [error["row"] for error in answer.json()["errors"]] == [4006]
    assert row_counts(database) == before


def test_a_table_that_lacks_operators_of_the_space_is_refused_with_their_list(
    client: TestClient, database: Database, cpu: str
) -> None:
    before = row_counts(database)
    answer = client.post(f"{cpu}?space=fbnet-mini", content=a_table_csv(without=3), headers=CSV)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:lutnas:problem:space-not-covered"
    assert len(answer.json()["missing"]) == 3
    assert row_counts(database) == before
    created = client.post(cpu, content=a_table_csv(without=3), headers=CSV).json()
    coverage = client.get(f"/v1/tables/{created['id']}/coverage?space=fbnet-mini").json()
    assert coverage == {"covered": False, "missing": answer.json()["missing"]}


def test_a_json_table_names_the_row_by_its_index(client: TestClient, database: Database, cpu: str) -> None:
    before = row_counts(database)
    rows = [{"kind": "base", "latency_us": 1.0}, {"kind": "base", "latency_us": -1.0}]
    document = {"device": "cpu", "runtime": "test", "threads": 1, "batch": 1, "rows": rows}
    answer = client.post(cpu, json=document)
    assert answer.json()["errors"] == [{"field": "latency_us", "row": 1, "detail": "-1.0 is negative"}]
    assert row_counts(database) == before


def test_what_is_no_table_at_all_is_a_problem_too(client: TestClient, database: Database, cpu: str) -> None:
    before = row_counts(database)
    about, base = {"device": "cpu", "runtime": "test", "threads": 1, "batch": 1}, {"kind": "base", "latency_us": 1}
    for body, headers in (
        (b"\xff\xfe\x00", CSV),
        (b"{", {"Content-Type": "application/json"}),
        (b"[]", {"Content-Type": "application/json"}),
        (json.dumps({**about, "threads": [1], "rows": []}).encode(), {"Content-Type": "application/json"}),
        (json.dumps({**about, "rows": [{**base, "h": [1]}]}).encode(), {"Content-Type": "application/json"}),
        (("# measured_at: 0001-01-01T00:00:00+14:00\n" + a_table_csv()).encode(), CSV),
        (b"no gzip", {**CSV, "Content-Encoding": "gzip"}),
        (gzip.compress(b"x" * 1000)[:20], {**CSV, "Content-Encoding": "gzip"}),
        (b"a", {**CSV, "Content-Encoding": "br"}),
        (b"a", {"Content-Type": "text/html"}),
        (b"a" * (2 << 20), CSV),
        (b"", CSV),
    ):
        answer = client.post(cpu, content=body, headers=headers)
        assert answer.status_code == 422, (body[:10], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert row_counts(database) == before


def test_a_table_may_not_have_more_rows_than_the_operator_allows(
    client: TestClient, database: Database, settings: Settings, cpu: str
) -> None:
    before = row_counts(database)
    packed = gzip.compress(b"".join(a_long_csv(settings.max_table_rows + 1)), compresslevel=1)
    answer = client.post(cpu, content=packed, headers={**CSV, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "rows")
    assert row_counts(database) == before


def test_a_json_table_that_unpacks_to_more_than_memory_should_hold_is_refused() -> None:
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        for _ in range((JSON_BYTES >> 20) + 1):
            file.write(b" " * (1 << 20))
    packed.seek(0)
    upload = Upload(
        body=packed, media_type="application/json", gzipped=True, device_name="cpu", space=None, max_rows=10,
        max_bytes=2**32,
    )  # fmt: skip
    with pytest.raises(TableRefused, match=f"more than {JSON_BYTES} bytes once unpacked. JSON is read whole: send CSV"):
        check(upload)


def test_the_same_content_again_gives_the_table_that_stands(client: TestClient, database: Database, cpu: str) -> None:
    first = client.post(cpu, content=a_table_csv(), headers=CSV)
    packed = gzip.compress(a_table_csv().encode())
    again = client.post(cpu, content=packed, headers={**CSV, "Content-Encoding": "gzip"})
    other = client.post(cpu, content=a_table_csv(scale=2.0), headers=CSV)
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert again.json()["id"] == first.json()["id"]
    assert [table["version"] for table in client.get(cpu).json()["items"]] == [2, 1]
    assert row_counts(database)["table_rows"] == 2 * first.json()["rows"]


READERS: dict[str, Callable[[bytes], LatencyTable]] = {
    "csv": lambda body: read_csv(body.decode().splitlines(keepends=True)),
    "json": read_json,
    "parquet": lambda body: read_parquet(io.BytesIO(body)),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_table_comes_back_as_it_was_sent(client: TestClient, cpu: str, kind: str) -> None:
    sent = read_csv(a_table_csv(scale=1 / 3).splitlines(keepends=True))
    table = client.post(cpu, content=a_table_csv(scale=1 / 3), headers=CSV).json()
    file = client.get(f"/v1/tables/{table['id']}/file?format={kind}")
    back = READERS[kind](file.content)
    assert back == sent
    assert back.content_hash == table["content_hash"]
    again = client.post(cpu, content=file.content, headers={"Content-Type": file.headers["content-type"]})
    assert (again.status_code, again.json()["id"]) == (200, table["id"])


def test_rows_come_in_pages_that_together_are_the_table(client: TestClient, cpu: str) -> None:
    table = client.post(cpu, content=a_table_csv(), headers=CSV).json()
    rows, cursor = [], None
    while True:
        query = {"limit": 25, **({"cursor": cursor} if cursor else {})}
        page = client.get(f"/v1/tables/{table['id']}/rows", params=query).json()
        rows += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(rows) == table["rows"]
    assert [row["latency_us"] for row in rows] == [10.0 + number for number in range(len(rows))]


def test_a_noisy_row_is_taken_with_a_warning(client: TestClient, cpu: str) -> None:
    line = "mbconv,14,14,16,48,24,1,3,1,10.0,5.0,15.0\n"
    body = HEAD + COLUMNS.replace("\n", ",p10,p90\n") + line
    answer = client.post(cpu, content=body, headers=CSV)
    assert answer.status_code == 201
    assert [(w["row"], w["field"]) for w in answer.json()["warnings"]] == [(6, "p90")]


def test_the_same_table_sent_at_once_is_stored_once(client: TestClient, database: Database, cpu: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post(cpu, content=a_table_csv(), headers=CSV), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [201]
    assert row_counts(database)["tables"] == 1


def test_the_difference_of_two_versions_counts_all_and_shows_the_greatest_first(client: TestClient, cpu: str) -> None:
    one = HEAD + COLUMNS + BASE + BLOCK.format(3) + "skip,14,14,16,,24,1,,,7\n" + "skip,14,14,16,,32,1,,,2\n"
    two = (
        HEAD + COLUMNS + "base,,,,,,,,,13\n" + BLOCK.format(3) + "skip,14,14,16,,24,1,,,1\n" + "stem,9,9,1,,8,1,3,,5\n"
    )
    before, after = (client.post(cpu, content=body, headers=CSV).json()["id"] for body in (one, two))
    found = client.get(f"/v1/tables/{after}/difference?before={before}").json()
    assert {name: found[name] for name in ("equal", "changed_count", "added_count", "removed_count")} == {
        "equal": 1, "changed_count": 2, "added_count": 1, "removed_count": 1,
    }  # fmt: skip
    assert [(row["kind"], row["before_us"], row["after_us"]) for row in found["changed"]] == [
        ("skip", 7.0, 1.0),
        ("base", 12.5, 13.0),
    ]
    assert found["changed"][1]["ratio"] == pytest.approx(1.04)
    assert ([row["kind"] for row in found["added"]], found["removed"][0]["c_out"]) == (["stem"], 32)
    assert client.get(f"/v1/tables/{after}/difference?before=tbl_none").status_code == 404
    assert client.get(f"/v1/tables/{after}/difference?before={after}").json()["equal"] == 4


def test_a_rise_counts_as_much_as_a_fall_in_a_difference(client: TestClient, cpu: str) -> None:
    rows = [f"skip,14,14,16,,{n + 17},1,,," for n in range(150)]
    one = HEAD + COLUMNS + "".join(f"{row}1\n" for row in rows)
    two = HEAD + COLUMNS + "".join(f"{row}{1000 if n == 70 else 0.4}\n" for n, row in enumerate(rows))
    before, after = (client.post(cpu, content=body, headers=CSV).json()["id"] for body in (one, two))
    found = client.get(f"/v1/tables/{after}/difference?before={before}").json()
    assert (found["changed_count"], len(found["changed"]), found["changed"][0]["ratio"]) == (150, 100, 1000.0)


def test_latencies_that_no_device_has_are_refused(client: TestClient, cpu: str) -> None:
    for wrong in ("5e-324", "1e300"):
        answer = client.post(cpu, content=HEAD + COLUMNS + BASE + BLOCK.format(wrong), headers=CSV)
        assert (answer.status_code, answer.json()["errors"][0]["row"]) == (422, 7)


def test_an_operator_is_found_by_the_hash_of_its_json_as_rows_of_before_were() -> None:
    operator = Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1, 8, 8, 0.5, "2:4")
    for one in (operator, replace(operator, sparsity=0, pattern="")):  # 0 and 0.0 are one
        values = [float(value) if name == "sparsity" else value for name, value in operator_json(one).items()]
        assert operator_hash(one) == hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
