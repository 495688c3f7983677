"""From a job's constraints and its devices' tables to what the search and the derivation hold. Torch-free.

Errors:
    MissingEnergy (LookupError)                a table gives operators of the space no energy; `.operators` lists them
    latency.table.MissingOperator (LookupError)   a table lacks an operator of the space
"""

from collections.abc import Callable, Mapping, Sequence

from latency.operator import BASE, Operator, boundary
from latency.table import LatencyTable
from search.budget import Boundaries, Budget
from search.constraints import Constraint, EnergyConstraint, LatencyConstraint, SizeConstraint, names_of
from search.costs import activation_bytes, macs, stored_bytes
from search.space import Space


class MissingEnergy(LookupError):
    """A table gives `operators` no energy."""

    def __init__(self, operators: Sequence[Operator], device: str) -> None:
        shown = ", ".join(operator.key for operator in operators[:3]) + (" ..." if len(operators) > 3 else "")
        super().__init__(
            f"the table of {device} has no energy_uj for {len(operators)} operators of the space: {shown}; "
            "upload one whose rows have it"
        )
        self.operators = tuple(operators)


def budgets_of(
    space: Space, constraints: Sequence[Constraint], tables: Mapping[int, LatencyTable]
) -> tuple[Budget, ...]:
    """One a constraint, in their order, named by `search.constraints.names_of`, in the unit of its metric.

    `tables` by the number of the constraint that names a device. Raises MissingEnergy, MissingOperator, and ValueError
    where one is missing.
    """
    names = names_of(tuple(constraints))
    return tuple(
        _budget(name, space, constraint, tables.get(number))
        for number, (name, constraint) in enumerate(zip(names, constraints, strict=True))
    )


def _of(table: LatencyTable | None, name: str) -> LatencyTable:
    if table is None:
        raise ValueError(f"the budget {name!r} needs a table: give it in `tables`, under the constraint's number")
    return table


def _budget(name: str, space: Space, constraint: Constraint, table: LatencyTable | None) -> Budget:
    match constraint:
        case LatencyConstraint():
            return sum_budget(name, space, _of(table, name).latency_us, constraint.maximum)
        case EnergyConstraint():
            return sum_budget(name, space, energies_uj(_of(table, name), space).__getitem__, constraint.maximum)
        case SizeConstraint():
            return sum_budget(name, space, lambda o: stored_bytes(o, constraint.format), constraint.maximum)
        case _ if constraint.metric == "macs":
            return sum_budget(name, space, macs, constraint.maximum)
    costs = [list(map(activation_bytes, operators)) for operators in space.operators_LK]
    ends = max(activation_bytes(space.stem_operator), activation_bytes(space.head_operator))
    changes = _boundaries(space.operators_LK, space.head_operator, activation_bytes)
    return Budget(name, costs, ends, constraint.maximum, kind="peak", boundaries=changes)


def sum_budget(name: str, space: Space, cost: Callable[[Operator], float], maximum: float) -> Budget:
    """`cost` summed over a network: base, stem and head are fixed, changes of format stand between layers."""
    fixed = cost(BASE) + cost(space.stem_operator) + cost(space.head_operator)
    costs = [list(map(cost, operators)) for operators in space.operators_LK]
    return Budget(name, costs, fixed, maximum, boundaries=_boundaries(space.operators_LK, space.head_operator, cost))


def _boundaries(
    positions: Sequence[Sequence[Operator]], head: Operator, cost: Callable[[Operator], float]
) -> Boundaries | None:
    """Changes between format 0, that of stem and head, and 1; None where none is needed or all are free. Those that no
    network needs are not asked for: as `Space.operators` does not list them, a table may lack them.
    """
    formats_LK = [[None if o.is_identity else int(o.is_integer != head.is_integer) for o in row] for row in positions]
    if not any(own for row in formats_LK for own in row):
        return None
    ends: list[int | None] = [0]
    costs_LFF, coming = list[list[list[float]]](), {0}
    for own_K, operators in zip([*formats_LK, ends], [*positions, [head]], strict=True):
        costs_FF = [[0.0, 0.0], [0.0, 0.0]]
        for own, operator in dict(zip(own_K, operators, strict=True)).items():
            if own is not None and 1 - own in coming:
                costs_FF[1 - own][own] = cost(boundary(operator))
        costs_LFF.append(costs_FF)
        coming = {own for own in own_K if own is not None} | (coming if None in own_K else set())
    is_free = not any(paid for costs_FF in costs_LFF for row in costs_FF for paid in row)
    return None if is_free else Boundaries(formats_LK, costs_LFF)


def energies_uj(table: LatencyTable, space: Space) -> dict[Operator, float]:
    """Energy of every operator of `space` in one call, microjoules; identities take none, nor do boundaries where the
    table knows none at all. Raises MissingEnergy.
    """
    found, missing = dict[Operator, float](), list[Operator]()
    for operator in space.operators():
        entry = table.entries.get(operator)
        if entry is not None and entry.energy_uj is not None:
            found[operator] = entry.energy_uj
        elif entry is None and table.holds_free(operator):
            found[operator] = 0.0
        else:
            missing.append(operator)
    if missing:
        raise MissingEnergy(missing, table.info.device)
    identities = (operator for operators in space.operators_LK for operator in operators)
    return {**dict.fromkeys(identities, 0.0), **found}
