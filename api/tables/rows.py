"""Rows of a table in the database, in and out. A table may have a million, so they pass by in groups."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Dialect, Row, Select, select
from sqlalchemy.orm import Session

from api.tables.models import Table, TableRow
from latency.correction import Correction, corrected
from latency.operator import FIELDS, Operator
from latency.table import ContentHash, Entry, LatencyTable, TableInfo

ENTRY_FIELDS = tuple(field.name for field in fields(Entry))
_NAMES = (*FIELDS, *ENTRY_FIELDS)
_operator_values = attrgetter(*FIELDS)  # dataclasses.astuple copies deeply: 40 times slower
_entry_values = attrgetter(*ENTRY_FIELDS)
GROUP = 2000
_MOST_BOUND = 500  # values in one IN: SQLite allows 999 in old builds
_COLUMNS = [getattr(TableRow, name) for name in ("position", *_NAMES)]

Cells = list[Any]  # values of FIELDS, then of ENTRY_FIELDS


def operator_hash(operator: Operator) -> str:
    """32 hex digits that two operators share only if they are equal."""
    return _hash(*_operator_values(operator))


def cells(operator: Operator, entry: Entry) -> Cells:
    """A row as plain values."""
    return [*_operator_values(operator), *_entry_values(entry)]


def insert_rows(session: Session, table_id: str, groups: Iterable[Sequence[Cells]]) -> None:
    """Writes rows in their order; `position` counts from 0."""
    connection, position = session.connection(), 0
    statement = _insertion(connection.dialect)
    for group in groups:
        values = [(table_id, number, _hash(*row[: len(FIELDS)]), *row) for number, row in enumerate(group, position)]
        connection.exec_driver_sql(statement, values)
        position += len(group)


def info_of(table: Table) -> TableInfo:
    """What holds for the whole table."""
    return TableInfo(
        device=table.device_name, runtime=table.runtime, runtime_version=table.runtime_version, threads=table.threads,
        batch=table.batch, measured_at=table.measured_at, note=table.note,
    )  # fmt: skip


def correction_of(table: Table) -> Correction | None:
    """The correction that measured networks gave a table, if it helps."""
    found = (table.calibration or {}).get("correction")
    return None if found is None else Correction(**found)


def load_table(session: Session, table_id: str) -> LatencyTable:
    """A whole table as it was uploaded."""
    statement = _select(table_id).execution_options(yield_per=GROUP)
    return LatencyTable(info_of(session.get_one(Table, table_id)), map(_pair, session.execute(statement)))


def content_hash(session: Session, table_id: str) -> str:
    """That of the rows as they are now, of which no more than a digest each stays in memory."""
    content = ContentHash(info_of(session.get_one(Table, table_id)))
    for row in session.execute(_select(table_id).execution_options(yield_per=GROUP)):
        content.add(*_pair(row))
    return content.hexdigest()


def load_entries(
    session: Session, table: Table, operators: Iterable[Operator], *, as_uploaded: bool = False
) -> LatencyTable:
    """The part of a table that answers for `operators`, with its correction where it has one: what a space needs,
    however long the table is. One row of a boundary comes along where the table has any: without one, boundaries
    would be free.
    """
    needed = list(dict.fromkeys(operators))
    hashes = list(map(operator_hash, needed))
    entries: dict[Operator, Entry] = {}
    if any(operator.kind == "boundary" for operator in needed):
        some_boundary = _select(table.id).where(TableRow.kind == "boundary").limit(1)
        entries.update(map(_pair, session.execute(some_boundary)))
    for start in range(0, len(hashes), _MOST_BOUND):
        chosen = _select(table.id).where(TableRow.operator_hash.in_(hashes[start : start + _MOST_BOUND]))
        entries.update(map(_pair, session.execute(chosen)))
    return corrected(LatencyTable(info_of(table), entries), None if as_uploaded else correction_of(table))


def rows_after(session: Session, table_id: str, position: int, limit: int) -> list[tuple[int, Operator, Entry]]:
    """Up to `limit` rows after `position` (-1: from the start)."""
    statement = _select(table_id).where(TableRow.position > position).limit(limit)
    return [(row.position, *_pair(row)) for row in session.execute(statement)]


def operator_json(operator: Operator) -> dict[str, Any]:
    """An operator with all its fields by name."""
    return dict(zip(FIELDS, _operator_values(operator), strict=True))


def entry_json(entry: Entry) -> Mapping[str, Any]:
    """An entry with all its fields by name."""
    return dict(zip(ENTRY_FIELDS, _entry_values(entry), strict=True))


def grouped(rows: Iterator[tuple[Operator, Entry]]) -> Iterator[list[Cells]]:
    """Rows as plain values, in lists of GROUP."""
    group: list[Cells] = []
    for operator, entry in rows:
        group.append(cells(operator, entry))
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _hash(
    kind: str, h: int, w: int, c_in: int, c_mid: int, c_out: int, stride: int, kernel: int, groups: int,
    weight_bits: int, activation_bits: int, sparsity: float, pattern: str,
) -> str:  # fmt: skip
    # Rows that stand were hashed as `json.dumps` writes them; kinds and patterns are plain words. 0 and 0.0 are one.
    written = (
        f'["{kind}", {h}, {w}, {c_in}, {c_mid}, {c_out}, {stride}, {kernel}, {groups}, {weight_bits}, '
        f'{activation_bits}, {float(sparsity)!r}, "{pattern}"]'
    )
    return hashlib.sha256(written.encode()).hexdigest()[:32]


def _insertion(dialect: Dialect) -> str:
    """The statement in the driver's own words: a parsed row is as a column takes it, so that SQLAlchemy, which would
    look at each value again, takes longer than the database.
    """
    names = map(dialect.identifier_preparer.quote, ("table_id", "position", "operator_hash", *_NAMES))
    marks = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * (3 + len(_NAMES)))
    return f"INSERT INTO {TableRow.__tablename__} ({', '.join(names)}) VALUES ({marks})"


def _select(table_id: str) -> Select[Any]:
    return select(*_COLUMNS).where(TableRow.table_id == table_id).order_by(TableRow.position)


def _pair(row: Row[Any]) -> tuple[Operator, Entry]:
    values = tuple(row)[1:]
    return Operator(*values[: len(FIELDS)]), Entry(*values[len(FIELDS) :])
