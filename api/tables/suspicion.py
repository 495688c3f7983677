"""What is odd about a table that is right in every row: told as warnings, never refused.

A latency far from what rows of its size take may be in another unit; rows that equal another device's to the last
digit may be copied. A grouped block may truly be slower than an ungrouped one: no more than that is held to be odd.
"""

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from api.devices.models import Device
from api.errors import FieldProblem
from api.tables.models import Table, TableRow
from latency.operator import Operator
from latency.table import Entry
from search.costs import macs

_ODD = 50.0  # times more or less than rows of its size: units are 1000 apart, what is slow for its size up to 20
_LEAST_ROWS = 8  # below, nothing is usual
_GROWTH = (0.0, 0.5, 1.0)  # latency by multiply-adds to this power: calls dominate on a GPU, arithmetic on a small core
_OTHER_UNIT = 200.0  # from one version to the next
_COPIED, _LEAST_COPIED = 0.05, 3  # of the rows that both have; fewer are equal by chance where digits are few
_NEWEST = 8  # tables of other devices that are looked at
KEPT = 50


class Rows:
    """Notes what counts of each row while the table passes by: 28 bytes a row."""

    def __init__(self) -> None:
        self.places = array("q")  # the line or index that a warning names
        self._macs, self._latencies = array("d"), array("d")

    def add(self, place: int, operator: Operator, entry: Entry) -> None:
        """Notes one row."""
        self.places.append(place)
        self._macs.append(macs(operator))
        self._latencies.append(entry.latency_us)

    def odd_units(self) -> Iterator[FieldProblem]:
        """Rows whose latency is far from that of others of their size."""
        macs_N, latency_N = np.array(self._macs), np.array(self._latencies)
        (counted,) = np.nonzero((macs_N > 0) & (latency_N > 0))
        if len(counted) < _LEAST_ROWS:
            return
        log_macs_N, log_us_N = np.log(macs_N[counted]), np.log(latency_N[counted])
        off_N = min((_off(log_us_N - power * log_macs_N) for power in _GROWTH), key=lambda off: np.median(np.abs(off)))
        for row, off in zip(counted, off_N, strict=True):
            if abs(off) > math.log(_ODD):
                times = f"{math.exp(abs(off)):.0f} times {'more' if off > 0 else 'less'}"
                yield FieldProblem(
                    "latency_us",
                    f"{times} than rows of its size: is it in another unit?",
                    self.places[int(row)],
                )


def _off(levels_N: np.ndarray) -> np.ndarray:
    off: np.ndarray = levels_N - np.median(levels_N)
    return off


def against_others(
    session: Session, table: Table, places: Sequence[int] | None, *, sees_others: bool = True
) -> Iterator[FieldProblem]:
    """What is odd beside the tables that stand: another unit than the version before, and, for who `sees_others`, rows
    of another device. Without the `places` of its rows, as where the table stood already and the upload may have had
    another order, none is named.
    """
    before = session.scalars(
        select(Table)
        .where(Table.device_id == table.device_id, Table.version < table.version)
        .order_by(Table.version.desc())
        .limit(1)
    ).one_or_none()
    if before is not None:
        yield from _other_unit(session, table, before)
    if not sees_others:
        return
    newest = select(Table).join(Device, Table.device_id == Device.id)
    of_others = newest.where(
        Table.owner == table.owner, Table.device_id != table.device_id, Table.version == Device.last_version
    )
    for other in session.scalars(of_others.order_by(Table.created_at.desc()).limit(_NEWEST)):
        yield from _copied(session, table, other, places)


def _other_unit(session: Session, table: Table, before: Table) -> Iterator[FieldProblem]:
    new, old = aliased(TableRow), aliased(TableRow)
    common = (
        select(new.latency_us, old.latency_us)
        .join(old, old.operator_hash == new.operator_hash)
        .where(new.table_id == table.id, old.table_id == before.id, new.latency_us > 0, old.latency_us > 0)
        .order_by(new.position)
        .limit(1000)
    )
    ratios = [a / b for a, b in session.execute(common)]
    if len(ratios) < _LEAST_ROWS:
        return
    ratio = float(np.median(ratios))
    if ratio > _OTHER_UNIT or ratio < 1 / _OTHER_UNIT:
        yield FieldProblem(
            "latency_us", f"latencies are {ratio:.3g} times those of version {before.version}: is the unit right?"
        )


def _copied(session: Session, table: Table, other: Table, places: Sequence[int] | None) -> Iterator[FieldProblem]:
    new, old = aliased(TableRow), aliased(TableRow)
    common = (
        select(new.position, new.latency_us, old.latency_us)
        .join(old, old.operator_hash == new.operator_hash)
        .where(new.table_id == table.id, old.table_id == other.id, new.latency_us > 0)
        .where(new.provenance == "measured", old.provenance == "measured")
        .order_by(new.position)
    )
    rows = session.execute(common).all()
    equal = [position for position, a, b in rows if a == b]
    if len(equal) < max(_LEAST_COPIED, _COPIED * len(rows)):
        return
    whose = f"{other.device_name} (version {other.version})"
    if places is None:
        said = f"{len(equal)} rows equal those of {whose} to the last digit: are they copied?"
        yield FieldProblem("latency_us", said)
        return
    for position in islice(equal, KEPT):
        said = f"equals the row of {whose} to the last digit: is it copied?"
        yield FieldProblem("latency_us", said, places[position])
