"""What changes from one table to another: counted and compared by the database, however long they are."""

from typing import Any

from sqlalchemy import Select, SelectBase, case, func, select
from sqlalchemy.orm import Session, aliased

from api.tables.models import Table, TableRow
from api.tables.schemas import ChangedRow, DifferenceView, OperatorView
from latency.operator import FIELDS

SHOWN = 100
_new, _old = aliased(TableRow), aliased(TableRow)


def difference(session: Session, before: Table, after: Table) -> DifferenceView:
    """The greatest changes first; of everything the first SHOWN, and how many there are."""
    both = (
        select(_new, _old.latency_us.label("before_us"))
        .join(_old, _old.operator_hash == _new.operator_hash)
        .where(_new.table_id == after.id, _old.table_id == before.id)
    )
    changed = both.where(_new.latency_us != _old.latency_us)
    less = case((_new.latency_us < _old.latency_us, _new.latency_us), else_=_old.latency_us)
    # The greater over the less, less one: a rise counts as much as a fall. Where one side is 0 it comes first.
    far = func.coalesce(func.abs(_new.latency_us - _old.latency_us) / func.nullif(less, 0.0), 1e300)
    rows = session.execute(changed.order_by(far.desc(), _new.position).limit(SHOWN)).all()
    added, removed = _only_in(after, before), _only_in(before, after)
    return DifferenceView(
        before=before.id, after=after.id,
        equal=_count(session, both) - _count(session, changed),
        changed_count=_count(session, changed), added_count=_count(session, added),
        removed_count=_count(session, removed),
        changed=[_changed(row, before_us) for row, before_us in rows],
        added=_operators(session, added), removed=_operators(session, removed),
    )  # fmt: skip


def _only_in(table: Table, other: Table) -> Select[Any]:
    known = select(_old.operator_hash).where(_old.table_id == other.id, _old.operator_hash == _new.operator_hash)
    return select(_new).where(_new.table_id == table.id, ~known.exists())


def _count(session: Session, rows: SelectBase) -> int:
    return session.scalar(select(func.count()).select_from(rows.subquery())) or 0


def _operators(session: Session, rows: Select[Any]) -> list[OperatorView]:
    return [OperatorView.model_validate(row) for row in session.scalars(rows.order_by(_new.position).limit(SHOWN))]


def _changed(row: TableRow, before_us: float) -> ChangedRow:
    operator = {name: getattr(row, name) for name in FIELDS}
    ratio = row.latency_us / before_us if before_us else None
    return ChangedRow(**operator, before_us=before_us, after_us=row.latency_us, ratio=ratio)
