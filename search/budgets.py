"""From a job's constraints and its devices' tables to what the search and the derivation hold. Torch-free.

Errors:
    MissingEnergy (LookupError)                a table gives operators of the space no energy; `.operators` lists them
    latency.table.MissingOperator (LookupError)   a table lacks an operator of the space
"""

from collections.abc import Callable, Mapping, Sequence

from latency.operator import BASE, Operator
from latency.table import LatencyTable
from search.budget import Budget
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

    `tables` by the number of the constraint that names a device. Raises MissingEnergy, MissingOperator.
    """
    names = names_of(tuple(constraints))
    return tuple(
        _budget(name, space, constraint, tables.get(number))
        for number, (name, constraint) in enumerate(zip(names, constraints, strict=True))
    )


def _budget(name: str, space: Space, constraint: Constraint, table: LatencyTable | None) -> Budget:
    match constraint:
        case LatencyConstraint():
            assert table is not None, "a latency comes from a table"
            return sum_budget(name, space, table.latency_us, constraint.maximum)
        case EnergyConstraint():
            assert table is not None, "an energy comes from a table"
            return sum_budget(name, space, energies_uj(table, space).__getitem__, constraint.maximum)
        case SizeConstraint():
            return sum_budget(name, space, lambda o: stored_bytes(o, constraint.format), constraint.maximum)
        case _ if constraint.metric == "macs":
            return sum_budget(name, space, macs, constraint.maximum)
    costs = [[activation_bytes(layer.operator(choice)) for choice in layer.choices] for layer in space.layers]
    ends = max(activation_bytes(space.stem_operator), activation_bytes(space.head_operator))
    return Budget(name, costs, ends, constraint.maximum, kind="peak")


def sum_budget(name: str, space: Space, cost: Callable[[Operator], float], maximum: float) -> Budget:
    """`cost` summed over a network: base, stem and head are fixed."""
    fixed = cost(BASE) + cost(space.stem_operator) + cost(space.head_operator)
    costs = [[cost(layer.operator(choice)) for choice in layer.choices] for layer in space.layers]
    return Budget(name, costs, fixed, maximum)


def energies_uj(table: LatencyTable, space: Space) -> dict[Operator, float]:
    """Energy of every operator of `space` in one call, microjoules; identities take none. Raises MissingEnergy."""
    found, missing = dict[Operator, float](), list[Operator]()
    for operator in space.operators():
        entry = table.entries.get(operator)
        if entry is None or entry.energy_uj is None:
            missing.append(operator)
        else:
            found[operator] = entry.energy_uj
    if missing:
        raise MissingEnergy(missing, table.info.device)
    identities = (layer.operator(choice) for layer in space.layers for choice in layer.choices)
    return {**dict.fromkeys(identities, 0.0), **found}
