"""The columns of a table's file, and one row of it in and out.

kind, h, w, c_in, c_mid or expansion, c_out, stride, kernel, groups    blank where the field does not apply
weight_bits, activation_bits    blank means fp32
sparsity, pattern               blank means dense
latency_us or latency_ms        the unit is in the name; p10 and p90 have the same
p10, p90, samples, provenance, energy_uj    optional; provenance is measured, published or simulated
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from latency.formats.errors import ErrorList
from latency.operator import BASE, COUNTS, FIELDS, KINDS, NEEDED, Operator
from latency.table import GREATEST, LEAST, Entry, FieldError, Provenance, TableInfo

UNITS_US = {"latency_us": 1.0, "latency_ms": 1000.0}
ENTRY_COLUMNS = ("p10", "p90", "samples", "provenance", "energy_uj")
COLUMNS = (*FIELDS, "latency_us", *ENTRY_COLUMNS)  # as they are written
KNOWN = {*COLUMNS, *UNITS_US, "expansion"}
INFO_FIELDS = ("device", "runtime", "runtime_version", "threads", "batch", "measured_at", "note")
Value = str | int | float | None
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # digits are read in one way alone
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_LARGEST = 2**31 - 1
_SHOWN = 5


def check_columns(columns: Sequence[str], errors: ErrorList, row: int | None) -> None:
    """Notes what is wrong with a header, or with the names in one JSON row."""
    times = Counter(columns)
    if len(columns) > len(KNOWN):  # a file may name a million: enough to say that it does
        surplus = (name_of(name) for name, count in times.items() if name not in KNOWN or count > 1)
        shown = ", ".join(islice(surplus, _SHOWN))
        errors.add(
            row, "", f"has {len(columns)} columns, of which {len(KNOWN)} are known; the first others are {shown}"
        )
        return
    for name, count in times.items():
        if name not in KNOWN:
            errors.add(row, name_of(name), f"is no column of a latency table; there are {', '.join(COLUMNS)}")
        if count > 1:
            errors.add(row, name_of(name), "stands twice")
    if "kind" not in columns:
        errors.add(row, "kind", "this column is missing")
    units = [name for name in UNITS_US if name in columns]
    if not units:
        errors.add(row, "latency_us", "no unit: name the column of latencies latency_us or latency_ms")
    if len(units) > 1:
        errors.add(row, "latency_us", "latency_us and latency_ms stand side by side: keep one")


class RowParser:
    """Turns the cells of one row into an operator and its entry. `columns` have passed `check_columns`."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = tuple(columns)
        self._latency = "latency_us" if "latency_us" in columns else "latency_ms"
        self._scale = UNITS_US[self._latency]

    def parse(self, cells: Sequence[Value]) -> tuple[Operator, Entry]:
        """Raises OperatorError or FieldError at the first field that is wrong."""
        cell = {
            name: value for name, value in zip(self._names, cells, strict=True) if value != "" and value is not None
        }
        return self._operator(cell), self._entry(cell)

    def _operator(self, cell: Mapping[str, Value]) -> Operator:
        counts = {name: _count(name, cell[name]) for name in COUNTS if name in cell}
        if "expansion" in cell:
            c_mid = _count("expansion", cell["expansion"]) * counts.get("c_in", 0)
            if counts.setdefault("c_mid", c_mid) != c_mid:
                raise FieldError(
                    "expansion", f"makes c_mid {c_mid}, but c_mid is {counts['c_mid']}: write one of the two"
                )
        sparsity = _number("sparsity", cell.get("sparsity", 0.0))
        kind = _text("kind", cell.get("kind", ""))
        if kind not in KINDS:  # Operator would quote all of it, however long
            raise FieldError("kind", f"{show(kind)} is none of {', '.join(KINDS)}")
        operator = Operator(
            kind=cast(Any, kind),
            **counts,
            weight_bits=_count("weight_bits", cell.get("weight_bits", 32)),
            activation_bits=_count("activation_bits", cell.get("activation_bits", 32)),
            sparsity=sparsity,
            pattern=_text("pattern", cell.get("pattern", "")),
        )
        needed = NEEDED[operator.kind]
        if len(needed) < len(COUNTS):
            for name, count in counts.items():
                if count and name not in needed:
                    raise FieldError(name, f"does not apply to a {operator.kind}: leave it blank")
        if not needed or operator.kind == "boundary":
            _check_bits(operator)
        if bool(operator.sparsity) != bool(operator.pattern):
            raise FieldError("pattern", "sparsity and pattern go together: fill in both, or leave both blank")
        return operator

    def _entry(self, cell: Mapping[str, Value]) -> Entry:
        if self._latency not in cell:
            raise FieldError(self._latency, "is missing")
        times = {name: _number(name, cell[name]) for name in (self._latency, "p10", "p90", "energy_uj") if name in cell}
        for name, value in times.items():  # Entry would name its own fields, in microseconds
            if value < 0:
                raise FieldError(name, f"{value} is negative")
            scale = 1 if name == "energy_uj" else self._scale
            if value and not LEAST <= value * scale <= GREATEST:
                least, greatest = LEAST / scale, GREATEST / scale
                raise FieldError(name, f"{value} is not between {least:g} and {greatest:g}, as on any device")
        p10, p90 = times.get("p10"), times.get("p90")
        if p10 is not None and p90 is not None and p10 > p90:
            raise FieldError("p10", f"{p10} is above p90 {p90}")
        return Entry(
            latency_us=times[self._latency] * self._scale,
            p10_us=None if p10 is None else p10 * self._scale,
            p90_us=None if p90 is None else p90 * self._scale,
            samples=_count("samples", cell.get("samples", 0)),
            provenance=cast(Provenance, _text("provenance", cell.get("provenance", "measured"))),  # Entry checks it
            energy_uj=times.get("energy_uj"),
        )


def _check_bits(operator: Operator) -> None:
    """Of what has no weights: another row would stand for the same thing. Raises FieldError."""
    if operator.sparsity:
        raise FieldError("sparsity", f"does not apply to a {operator.kind}: leave it blank")
    if operator.weight_bits != BASE.weight_bits:
        raise FieldError("weight_bits", f"does not apply to a {operator.kind}: leave it blank")
    if operator.activation_bits not in (BASE.activation_bits, *((8,) if operator.kind == "boundary" else ())):
        problem = "is 8 into integers, 32 or blank out of them" if operator.kind == "boundary" else "does not apply"
        raise FieldError("activation_bits", f"{problem}: a {operator.kind} has no other")


def cells_of(operator: Operator, entry: Entry) -> dict[str, Value]:
    """What a row says, by column in the order of COLUMNS; what does not apply or is not known is left away."""
    cells: dict[str, Value] = {name: getattr(operator, name) for name in FIELDS}
    cells |= {"latency_us": entry.latency_us, "p10": entry.p10_us, "p90": entry.p90_us, "samples": entry.samples}
    cells |= {"provenance": entry.provenance, "energy_uj": entry.energy_uj}
    blank = {name for name in (*COUNTS, "sparsity", "pattern", "samples") if not cells[name]}
    return {name: value for name, value in cells.items() if value is not None and name not in blank}


def parse_info(known: dict[str, Value], errors: ErrorList) -> TableInfo | None:
    """What a file says of the whole table; notes what is wrong and gives None then."""
    before = errors.count
    for name in known:
        if name not in INFO_FIELDS:
            errors.add(None, name_of(name), f"is not known of a table; there are {', '.join(INFO_FIELDS)}")
    for name in ("device", "runtime", "threads", "batch"):
        if known.get(name) in (None, ""):
            errors.add(None, name, "is missing")
    if errors.count > before:
        return None
    try:
        return TableInfo(
            **{name: _text(name, known.get(name, "")) for name in ("device", "runtime", "runtime_version", "note")},
            threads=_count("threads", known["threads"]),
            batch=_count("batch", known["batch"]),
            measured_at=_time(known.get("measured_at")),
        )
    except FieldError as error:
        errors.add(None, error.field, error.problem)
        return None


def show(value: object) -> str:
    """A value from a file for a message: short, and safe to print and to send whatever it holds."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def name_of(column: str) -> str:
    """A column's name as a field of an error: as it is where that is a plain word."""
    return column if column.isidentifier() and column.isascii() and len(column) <= 60 else show(column)


def _time(value: Value) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        time = datetime.fromisoformat(_text("measured_at", value))
        return time.astimezone(UTC) if time.tzinfo else time  # TableInfo refuses a time without a zone
    except (ValueError, OverflowError) as error:  # in UTC it may lie before year 1 or after 9999
        raise FieldError("measured_at", f"{show(value)} is no time as in 2026-11-23T09:00:00Z") from error


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise FieldError(name, f"{show(value)} is not a text")
    return value


def _number(name: str, value: Value) -> float:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value) and not _NOT_FINITE.fullmatch(value):
            raise FieldError(
                name, f"{show(value)} is not a number: write digits alone, the unit is in the column's name"
            )
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(name, f"{show(value)} is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise FieldError(name, "is too large") from error
    if not math.isfinite(number):
        raise FieldError(name, f"{number} is not a finite number")
    return number + 0.0  # -0.0, as rounding leaves it, is 0: databases know no other


def _count(name: str, value: Value) -> int:
    if not isinstance(value, str | int | float):  # JSON and Parquet have lists too, and those are no key of a cache
        raise FieldError(name, f"{show(value)} is not a number")
    return _whole(name, value)


@lru_cache(maxsize=4096, typed=True)  # a table of 100,000 rows has a million, and few that differ
def _whole(name: str, value: Value) -> int:
    if type(value) is int and 0 <= value <= _LARGEST:
        return value
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdecimal():
        return int(value)  # nearly all of them
    number = _number(name, value)
    # 16.0 is what a data frame makes of 16 in a column with blanks.
    if number != int(number) or not 0 <= number <= _LARGEST:
        raise FieldError(name, f"{number:g} is not a whole number between 0 and {_LARGEST}")
    return int(number)
