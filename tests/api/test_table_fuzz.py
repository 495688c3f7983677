"""2,000 damaged files: stored is what an independent parser reads, or nothing; no answer is 5xx."""

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from typing import Any

import pyarrow
import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet
from sqlalchemy import select

from api.db.session import Database
from api.tables.models import Table, TableRow

FILES = 2000
SHAPES = ("h", "w", "c_in", "c_mid", "c_out", "stride", "kernel", "groups")
OPERATOR = ("kind", *SHAPES, "weight_bits", "activation_bits", "sparsity", "pattern")
COLUMNS = (*OPERATOR, "latency_us", "p10", "p90", "samples", "provenance", "energy_uj")
INFO = {"device": "cpu", "runtime": "test", "threads": "1", "batch": "1"}
STORED = (*OPERATOR, "latency_us", "p10_us", "p90_us", "samples", "provenance", "energy_uj")
Row = tuple[Any, ...]
PIECES = [
    b"nan", b"-1", b"1e999", b"0x10", b"1_000", "\uff11\uff12".encode(), b'"', b",", b"\n", b"\r\n", b"\x00", b"\xff",
    b"'", b"#", b"# note: x\n", b" ", b"12 ms", b"[", b"{", b"}", b"null", b"true", b"9" * 400, b"\xef\xbb\xbf",
    b"measured", b"2:4", b"0.5", b"latency_ms", b"expansion", b"-0", b"1.0", b"1e2", b"\t", b"\\u0000", b'"kind"',
]  # fmt: skip


def rows(rng: random.Random) -> list[dict[str, Any]]:
    """A dozen right rows of every kind of value."""
    found: list[dict[str, Any]] = [{"kind": "base", "latency_us": 12.5}]
    for number in range(rng.randint(1, 12)):
        shape = dict(zip(SHAPES, (14, 14, 16, 16 * (number + 1), 24, 1, rng.choice([3, 5]), 1), strict=True))
        row = {"kind": "mbconv", **shape, "latency_us": round(rng.uniform(1, 500), rng.randint(0, 12))}
        if rng.random() < 0.3:
            row |= {"p10": 0.75, "p90": 501.5, "samples": rng.randint(1, 99)}
        if rng.random() < 0.2:
            row |= {"weight_bits": 8, "activation_bits": 8, "provenance": "published", "energy_uj": 3.25}
        if rng.random() < 0.2:
            row |= {"sparsity": 0.5, "pattern": "2:4"}
        found.append(row)
    return found


def as_csv(content: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    for name, value in INFO.items():
        text.write(f"# {name}: {value}\n")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    return text.getvalue().encode()


def as_json(content: list[dict[str, Any]]) -> bytes:
    return json.dumps({**INFO, "threads": 1, "batch": 1, "rows": content}).encode()


def damaged(body: bytes, rng: random.Random) -> bytes:
    """One to three wounds."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(body) + 1)
        end = min(len(body), at + rng.choice([0, 0, 1, 2, 5, 40]))
        match rng.randrange(6):
            case 0:
                body = body[:at] + rng.choice(PIECES) + body[end:]
            case 1:
                body = body[:at] + body[end:]
            case 2:
                body = body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
            case 3:
                body = body[:end] + body[at:]
            case 4:
                body = swapped_lines(body, rng)
            case _:
                body = body[:at] if rng.random() < 0.3 else body + body[at:end]
    return body


def swapped_lines(body: bytes, rng: random.Random) -> bytes:
    lines = body.splitlines(keepends=True)
    a, b = rng.randrange(len(lines) or 1), rng.randrange(len(lines) or 1)
    if lines:
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def read_csv_plainly(body: bytes) -> list[dict[str, Any]]:
    """As a person would: comments, a header, cells."""
    lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    cells = [[cell.strip() for cell in line] for line in lines]
    filled = [line for line in cells if any(line) and not line[0].startswith("#")]
    header = [name.lower() for name in filled[0]]
    return [{n: v for n, v in zip(header, line, strict=True) if v != ""} for line in filled[1:]]


def read_json_plainly(body: bytes) -> list[dict[str, Any]]:
    content = json.loads(body.decode("utf-8-sig"))["rows"]
    return [{name: value for name, value in row.items() if value not in (None, "")} for row in content]


def as_parquet(content: list[dict[str, Any]]) -> bytes:
    table = pyarrow.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in content])
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(INFO), file)
    return file.getvalue()


def read_parquet_plainly(body: bytes) -> list[dict[str, Any]]:
    content = parquet.read_table(io.BytesIO(body)).to_pylist()
    return [{name.lower(): value for name, value in row.items() if value not in (None, "")} for row in content]


def as_stored(row: dict[str, Any]) -> Row:
    """The values of STORED that a row means."""
    unit = 1000.0 if "latency_ms" in row else 1.0
    counts = {name: int(float(row.get(name, 0))) for name in SHAPES}
    if "expansion" in row:
        counts["c_mid"] = int(float(row["expansion"])) * counts["c_in"]
    bits = [int(float(row.get(name, 32))) for name in ("weight_bits", "activation_bits")]
    spread = [unit * float(row[name]) if name in row else None for name in ("p10", "p90")]
    latency = float(row["latency_ms"] if "latency_ms" in row else row["latency_us"]) * unit
    energy = float(row["energy_uj"]) if "energy_uj" in row else None
    return (
        row["kind"], *counts.values(), *bits, float(row.get("sparsity", 0)), row.get("pattern", ""), latency, *spread,
        int(float(row.get("samples", 0))), row.get("provenance", "measured"), energy,
    )  # fmt: skip


def stored_rows(database: Database, table_id: str) -> list[Row]:
    with database.read() as session:
        found = session.scalars(select(TableRow).where(TableRow.table_id == table_id).order_by(TableRow.position))
        return [tuple(getattr(row, name) for name in STORED) for row in found]


def table_count(database: Database) -> int:
    with database.read() as session:
        return len(session.scalars(select(Table.id)).all())


Case = tuple[str, Callable[[list[dict[str, Any]]], bytes], Callable[[bytes], list[dict[str, Any]]]]
CASES: list[Case] = [
    ("text/csv", as_csv, read_csv_plainly),
    ("application/json", as_json, read_json_plainly),
    ("application/vnd.apache.parquet", as_parquet, read_parquet_plainly),
]


def test_a_damaged_file_is_stored_as_it_reads_or_not_at_all(
    client: TestClient, database: Database, request: pytest.FixtureRequest
) -> None:
    seed = len(request.node.callspec.id)  # other files on each store
    rng, taken = random.Random(seed), 0
    assert client.post("/v1/devices", json={"name": "cpu"}).status_code == 201
    before = 0
    for number in range(FILES // 2):  # on each of two stores
        kind, write, read = CASES[number % 3]
        plain = body = damaged(write(rows(rng)), rng)
        headers = {"Content-Type": kind}
        if rng.random() < 0.3:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(plain)
            if rng.random() < 0.5:
                body, plain = damaged(body, rng), b""
        answer = client.post("/v1/devices/cpu/tables", content=body, headers=headers)
        told = f"file {number} of seed {seed}: {answer.status_code} {answer.text[:300]} for {body!r}"
        assert answer.status_code < 500, told
        count = table_count(database)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", told
            assert count == before, told
            continue
        assert count == before + (answer.status_code == 201), told
        before, taken = count, taken + 1
        if not plain:
            plain = gzip.decompress(body)
        if answer.status_code == 201:
            stored = stored_rows(database, answer.json()["id"])
            assert stored == [as_stored(row) for row in read(plain)], told
            assert all(math.isfinite(row[STORED.index("latency_us")]) for row in stored), told
    assert FILES // 40 < taken < FILES // 2  # both outcomes were met
