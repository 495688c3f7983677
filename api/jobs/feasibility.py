"""Whether constraints can be held at all, from tables and shapes alone: nothing is trained for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from api.auth.callers import Owner
from api.devices import service as devices
from api.jobs.assessment import Assessment
from api.jobs.deriving import deriving
from api.jobs.figures import range_row
from api.tables import service as tables
from api.tables.models import Table
from api.tables.rows import load_entries, operator_json
from latency.operator import Operator
from latency.table import LatencyTable
from search.budget import Budget, Reach, reach
from search.budgets import MissingEnergy, budgets_of
from search.constraints import UNITS, Constraint, DeviceConstraint, field_of, names_of
from search.space import Space


def assess_constraints(
    session: Session, owner: Owner, found: Assessment, constraints: Sequence[Constraint], *, teams: Sequence[str] = ()
) -> None:
    """Finds the tables, what can be reached, and whether all can be held together; notes all that is wrong. `teams` of
    who asks are told where one of them has the device that `owner` has not.
    """
    for number, (name, constraint) in enumerate(zip(names_of(tuple(constraints)), constraints, strict=True)):
        if isinstance(constraint, DeviceConstraint):
            table = _table(session, owner, found, f"constraints[{number}]", constraint, teams)
            if table is None:
                continue
            found.tables[number] = table
        if found.space is not None:
            budget = _budget(session, found, found.space, number, constraint)
            if budget is not None:
                found.budgets[number] = replace(budget, name=name)
                _reach(found, found.space, number, constraint)
    if found.space is None or found.errors or len(constraints) == 1:
        return
    if not are_reachable_together(list(found.budgets.values())):
        each = ", ".join(map(_least, found.reachable))
        found.refuse(
            "unreachable-budget", "constraints",
            f"each can be held alone ({each}), but no architecture holds all: raise one of them",
        )  # fmt: skip


def are_reachable_together(budgets: Sequence[Budget]) -> bool:
    """Whether some architecture holds every budget: the derivation decides, exactly."""
    from search.derive import can_be_held  # loads scipy, which most requests do not need

    with deriving():
        return can_be_held(budgets)


def _budget(session: Session, found: Assessment, space: Space, number: int, constraint: Constraint) -> Budget | None:
    """The constraint's budget; notes what its table lacks and gives None then."""
    tables_by_number = dict[int, LatencyTable]()
    if isinstance(constraint, DeviceConstraint):
        entries = load_entries(session, found.tables[number], space.operators(identities=True))
        missing = entries.missing(space.operators())
        if missing:
            problem = f"lacks {len(missing)} operators of the space {space.name}: {_shown(missing)}"
            _uncovered(found, number, constraint, missing, f"{problem}; name one that has them in `table`")
            return None
        tables_by_number[0] = entries
    try:
        (budget,) = budgets_of(space, [constraint], tables_by_number)
    except MissingEnergy as error:
        assert isinstance(constraint, DeviceConstraint)
        lacking = f"{len(error.operators)} operators of the space {space.name}: {_shown(error.operators)}"
        problem = f"has no energy_uj for {lacking}; upload one whose rows have it"
        _uncovered(found, number, constraint, error.operators, problem)
        return None
    return budget


def _uncovered(
    found: Assessment, number: int, constraint: DeviceConstraint, missing: Sequence[Operator], problem: str
) -> None:
    table = found.tables[number]
    place = f"constraints[{number}].device"
    found.refuse("space-not-covered", place, f"the table {table.id} of {constraint.device} {problem}")
    named = {"device": constraint.device, "table": table.id}
    found.missing += [{**named, **operator_json(operator)} for operator in missing]


def _reach(found: Assessment, space: Space, number: int, constraint: Constraint) -> None:
    budget, table = found.budgets[number], found.tables.get(number)
    ends, unit = reach(budget), UNITS[constraint.metric]
    found.reachable.append(range_row(budget.name, constraint, table.id if table else None, ends))
    if constraint.maximum < ends.least:
        on = f" on {constraint.device}: by its table" if isinstance(constraint, DeviceConstraint) else ":"
        what = {"size": " in weights", "memory": " of activations at once"}.get(constraint.metric, "")
        found.refuse(
            "unreachable-budget", f"constraints[{number}].{field_of(constraint)}",
            f"{constraint.maximum:.10g} {unit} cannot be reached{on} architectures of {space.name} take "
            f"{ends} {unit}{what}",
        )  # fmt: skip


def elsewhere(
    session: Session, find: Callable[[Session, Owner, str], object | None], teams: Sequence[str], name: str
) -> str | None:
    """What to do about something that its owner has not, where one of `teams` has it: a job is made of its owner's."""
    for team in teams:
        if find(session, Owner(team), name) is not None:
            return f"the team {team} has one; submit for that team (LUTNAS_TEAM={team}, or the header X-Lutnas-Team)"
    return None


def _table(
    session: Session, owner: Owner, found: Assessment, place: str, constraint: DeviceConstraint, teams: Sequence[str]
) -> Table | None:
    device = devices.find(session, owner, constraint.device)
    if device is None:
        told = elsewhere(session, devices.find, teams, constraint.device)
        detail = told or "`lutnas profile --upload` registers it with its table, as POST /v1/devices does"
        found.refuse("unknown-device", f"{place}.device", f"there is no device {constraint.device!r}: {detail}")
        return None
    there = tables.of_device(session, device)
    if constraint.table is None and len(there) == 1:
        return there[0]
    if constraint.table is not None:
        named = [table for table in there if table.id == constraint.table]
        if named:
            return named[0]
        detail = f"{constraint.device} has no table {constraint.table!r}; it has {_listed(there)}"
        found.refuse("unknown-table", f"{place}.table", detail)
        return None
    if not there:
        told = "`lutnas profile --upload` makes one, `lutnas tables upload` brings one"
        found.refuse("no-table", f"{place}.device", f"{constraint.device} has no table yet: {told}")
    else:
        found.refuse(
            "table-not-named", f"{place}.table", f"{constraint.device} has several tables, name one: {_listed(there)}"
        )
    return None


def _listed(there: Iterable[Table]) -> str:
    shown = [f"{t.id} (version {t.version}: {t.runtime}, {t.threads} threads, batch {t.batch})" for t in there]
    return ", ".join(shown[-10:]) or "none"


def _least(row: Mapping[str, Any]) -> str:
    unit = UNITS[row["metric"]]
    ends = Reach(row[f"min_{unit}"], row[f"max_{unit}"])
    return f"{row['name']} from {ends.told_least} {unit}"


def _shown(operators: Sequence[Operator]) -> str:
    return ", ".join(operator.key for operator in operators[:3]) + (" ..." if len(operators) > 3 else "")
