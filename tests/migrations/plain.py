"""Rows as plain SQL, for a revision whose models are gone."""

import importlib
import json
from typing import Any

from sqlalchemy import Connection

Rows = dict[str, list[dict[str, Any]]]
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013")


def rows_of(revision: str) -> Rows:
    """What a service of that revision may have kept: `ROWS` of the revision's module."""
    rows: Rows = importlib.import_module(f"tests.migrations.rows_{revision}").ROWS
    return rows


def insert_plainly(connection: Connection, rows: Rows) -> None:
    """One INSERT a row; a dict or list becomes JSON."""
    for table, listed in rows.items():
        for row in listed:
            names, values = ", ".join(row), ", ".join(_literal(value) for value in row.values())
            connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values})")


def widened(rows: Rows, **columns: dict[str, Any]) -> Rows:
    """The same rows, those of a table with more columns: the same value in each."""
    return {table: [{**row, **columns.get(table, {})} for row in listed] for table, listed in rows.items()}


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value)
    assert "%" not in text  # psycopg would read it as a parameter
    return "'" + text.replace("'", "''") + "'"
