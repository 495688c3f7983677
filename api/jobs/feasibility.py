"""Whether budgets can be held at all, from tables alone: nothing is trained for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency.operator import BASE
from latency.table import LatencyTable
from search.space import Space

if TYPE_CHECKING:
    from search.derive import Budget


@dataclass(frozen=True, slots=True)
class Reachable:
    """Least and greatest predicted latency of the architectures of a space, by one table."""

    min_us: float
    max_us: float


def reachable(table: LatencyTable, space: Space) -> Reachable:
    """Base, stem and head, and of each layer the cheapest and the dearest candidate. `table` covers `space`."""
    fixed, costs_LK = _fixed(table, space), _costs(table, space)
    return Reachable(fixed + sum(map(min, costs_LK)), fixed + sum(map(max, costs_LK)))


def are_reachable_together(tables: Sequence[LatencyTable], maxima_us: Sequence[float], space: Space) -> bool:
    """Whether some architecture holds every budget: the derivation decides, exactly."""
    from search.derive import Unreachable, solve  # loads scipy, which most requests do not need

    budgets = [
        _budget(number, table, maximum, space)
        for number, (table, maximum) in enumerate(zip(tables, maxima_us, strict=True))
    ]
    try:
        solve([[0.0] * len(layer.choices) for layer in space.layers], budgets)
    except Unreachable:
        return False
    return True


def _budget(number: int, table: LatencyTable, maximum_us: float, space: Space) -> "Budget":
    from search.derive import Budget

    return Budget(f"constraints[{number}]", _costs(table, space), _fixed(table, space), maximum_us)


def _fixed(table: LatencyTable, space: Space) -> float:
    return sum(map(table.latency_us, (BASE, space.stem_operator, space.head_operator)))


def _costs(table: LatencyTable, space: Space) -> list[list[float]]:
    return [[table.latency_us(layer.operator(choice)) for choice in layer.choices] for layer in space.layers]
