"""Measured networks: kept with the table that predicts them, which knows from then on how far it can be trusted.

Errors:
    MeasurementsRefused (DomainError)   422  measurements-refused: names each network and field
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic import ValidationError
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from api.auth.callers import Owner
from api.errors import DomainError, FieldProblem
from api.measurements.models import MeasuredNetwork
from api.measurements.schemas import NewMeasurements, NewNetwork
from api.paging import page
from api.spaces import service as spaces
from api.tables.models import Table
from api.tables.rows import load_entries
from latency.correction import calibrate
from latency.estimate import predict_us
from latency.operator import BASE, with_boundaries
from latency.table import LatencyTable
from search.architecture import Architecture
from search.space import Space

MOST_OF_A_TABLE = 20_000
_SAME = ("space", "latency_us", "p10_us", "p90_us", "samples")
_ABOUT = ("runtime", "runtime_version", "threads", "batch")


class MeasurementsRefused(DomainError):
    """The measurements are not of this table, or not of its space."""

    status = 422
    slug = "measurements-refused"
    title = "Measurements refused"


@dataclass(frozen=True)
class Checked:
    """Measurements that are right: rows to be, and what a call costs by the table as uploaded."""

    rows: list[dict[str, Any]]
    base_us: float


def check(session: Session, table: Table, new: NewMeasurements) -> Checked:
    """Reads and predicts the networks: takes its time, and writes nothing. Raises MeasurementsRefused, SpaceUnknown,
    ChoicesRefused.
    """
    space = spaces.with_choices(spaces.get(session, Owner(table.owner), new.space), new.choices)
    errors = list(_not_of(table, new))
    found = [_architecture(space, number, network, errors) for number, network in enumerate(new.networks)]
    _raise_any(errors)
    architectures = [architecture for architecture in found if architecture is not None]
    needed = dict.fromkeys([BASE, *(operator for a in architectures for operator in with_boundaries(a.operators()))])
    rows = load_entries(session, table, needed, as_uploaded=True)
    errors += [
        FieldProblem(f"networks[{number}]", f"the table lacks {missing[0].key}: profile it first")
        for number, architecture in enumerate(architectures)
        if (missing := rows.missing([BASE, *with_boundaries(architecture.operators())]))
    ]
    _raise_any(errors)
    return Checked(list(_values(architectures, new.networks, rows)), rows.latency_us(BASE))


def add(session: Session, table: Table, checked: Checked) -> None:
    """Keeps the networks that are not there to the last digit, as where they were sent once more since the answer was
    lost, and compares all of the table anew. Raises MeasurementsRefused.
    """
    session.refresh(table, with_for_update=True)
    before = session.scalar(select(func.count()).where(MeasuredNetwork.table_id == table.id)) or 0
    new = _not_there(session, table, checked.rows)
    if not new:
        return
    if before + len(new) > MOST_OF_A_TABLE:
        wrong = FieldProblem("networks", f"a table keeps {MOST_OF_A_TABLE} networks, this one has {before}")
        raise MeasurementsRefused("Too many networks.", errors=[wrong])
    placed = [{"table_id": table.id, "position": before + n, **row} for n, row in enumerate(new)]
    session.execute(insert(MeasuredNetwork), placed)
    _compare(session, table, checked.base_us)


def _not_there(session: Session, table: Table, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    same = [getattr(MeasuredNetwork, name) for name in _SAME]
    like = MeasuredNetwork.table_id == table.id, MeasuredNetwork.latency_us.in_({row["latency_us"] for row in rows})
    there = session.execute(select(*same, MeasuredNetwork.layers).where(*like))
    known = {(*row[:-1], json.dumps(row[-1])) for row in there}
    return [row for row in rows if (*(row[name] for name in _SAME), json.dumps(row["layers"])) not in known]


def list_page(
    session: Session, table: Table, *, cursor: str | None, limit: int
) -> tuple[list[MeasuredNetwork], str | None]:
    """The networks measured for a table, in their order."""
    of_table = select(MeasuredNetwork).where(MeasuredNetwork.table_id == table.id)
    return page(session, of_table, MeasuredNetwork.position, cursor=cursor, limit=limit)


def _not_of(table: Table, new: NewMeasurements) -> Iterator[FieldProblem]:
    for name in _ABOUT:
        told, known = getattr(new, name), getattr(table, name)
        if told is not None and known != "" and told != known:  # a table may not say its runtime's version
            yield FieldProblem(name, f"{told!r}, but the table was measured with {known!r}: its rows say nothing of it")


def _architecture(space: Space, number: int, network: NewNetwork, errors: list[FieldProblem]) -> Architecture | None:
    try:
        return Architecture(space=space, layers=network.layers)
    except ValidationError as error:
        errors.append(FieldProblem(f"networks[{number}]", error.errors()[0]["msg"].removeprefix("Value error, ")))
        return None


def _raise_any(errors: Sequence[FieldProblem]) -> None:
    if errors:
        told = "; ".join(f"{wrong.field}: {wrong.detail}" for wrong in errors[:3])
        raise MeasurementsRefused(f"Nothing was kept: {told}", errors=list(errors[:50]))


def _values(
    architectures: Sequence[Architecture], networks: Sequence[NewNetwork], rows: LatencyTable
) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    for architecture, network in zip(architectures, networks, strict=True):
        yield {
            "space": architecture.space.name, "layers": [choice.model_dump() for choice in network.layers],
            "latency_us": network.latency_us, "p10_us": network.p10_us, "p90_us": network.p90_us,
            "samples": network.samples, "predicted_us": predict_us(rows, architecture.operators()), "created_at": now,
        }  # fmt: skip


def _compare(session: Session, table: Table, base_us: float) -> None:
    columns = select(MeasuredNetwork.predicted_us, MeasuredNetwork.latency_us)
    pairs = session.execute(columns.where(MeasuredNetwork.table_id == table.id).order_by(MeasuredNetwork.position))
    predicted_N, measured_N = np.array([tuple(pair) for pair in pairs]).T
    found = calibrate(predicted_N, measured_N, base_us=base_us)
    table.calibration = {name: None if value is None else value._asdict() for name, value in found._asdict().items()}
