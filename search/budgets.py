"""From a job's constraints and a device's table to what the search and the derivation hold. Torch-free."""

from collections.abc import Sequence

from latency.operator import Operator
from latency.table import LatencyTable
from search.architecture import Architecture
from search.derive import Budget
from search.space import Space


def latency_budget(name: str, space: Space, table: LatencyTable, max_us: float) -> Budget:
    """The latency of `space` by `table`, microseconds: base, stem and head are fixed. Raises
    latency.table.MissingOperator.
    """
    costs = [[table.latency_us(layer.operator(candidate)) for candidate in layer.candidates] for layer in space.layers]
    fixed = sum(table.latency_us(o) for o in (Operator("base"), space.stem_operator, space.head_operator))
    return Budget(name, costs, fixed, max_us)


def indices_of(architecture: Architecture) -> tuple[int, ...]:
    """The index of each layer's candidate in its space."""
    pairs = zip(architecture.space.layers, architecture.candidates, strict=True)
    return tuple(layer.candidates.index(candidate) for layer, candidate in pairs)


def expected(budget: Budget, probabilities: Sequence[Sequence[float]]) -> float:
    """Expected total of a budget when each layer draws its choice by `probabilities` (FBNet, eq. 7)."""
    rows = zip(budget.costs_LK, probabilities, strict=True)
    return budget.fixed + sum(cost * p for costs, ps in rows for cost, p in zip(costs, ps, strict=False))
