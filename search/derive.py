"""The exact derivation: one choice a layer, the most worth, every budget held. Torch-free.

One choice a layer under additive budgets is a multiple-choice knapsack. Where neighbours cost too (a change of format
between two layers: precision, one day layout) it is a flow over (layer, format): a choice with a format is an edge
from every incoming format to its own, a choice without one (an identity skip) passes the incoming format on. A budget
on a peak forbids the choices above it. `search.program` states all this, `search.ranking` and HiGHS solve it.

Errors:
    Unreachable (ValueError)   no architecture holds the budgets; `.reachable` gives least and greatest of each budget
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from search.budget import Budget, Formats, Indices, Matrix, Reach, reach, worth_of
from search.program import Program
from search.ranking import MOST_STEPS, Ranking

__all__ = [
    "Budget",
    "Reach",
    "Solution",
    "Unreachable",
    "can_be_held",
    "pareto",
    "reach",
    "solve",
    "solve_best",
    "worth_of",
]


class Unreachable(ValueError):
    """No architecture holds the budgets."""

    def __init__(self, budgets: Sequence[Budget], reachable: Sequence[Reach]) -> None:
        self.reachable = {budget.name: reach for budget, reach in zip(budgets, reachable, strict=True)}
        parts = (
            f"{b.name}: {b.maximum:g} asked, {r.least:g} to {r.greatest:g} reachable"
            for b, r in zip(budgets, reachable, strict=True)
        )
        alone = all(reach.least <= budget.maximum for budget, reach in zip(budgets, reachable, strict=True))
        super().__init__(
            ("the budgets cannot be held together: " if alone else "unreachable budget: ") + "; ".join(parts)
        )


class Solution(NamedTuple):
    """An architecture, its summed worth, and its total of the first budget."""

    indices: Indices
    worth: float
    total: float


def solve(worth_LK: Matrix, budgets: Sequence[Budget], formats_LK: Formats | None = None) -> Indices:
    """The choice of each layer that has the most summed worth of those that hold every budget. Raises Unreachable."""
    return solve_best(worth_LK, budgets, 1, formats_LK)[0]


def solve_best(
    worth_LK: Matrix,
    budgets: Sequence[Budget],
    count: int,
    formats_LK: Formats | None = None,
    *,
    most_steps: int = MOST_STEPS,
) -> list[Indices]:
    """The `count` architectures of most summed worth among those that hold every budget, best first; fewer where
    there are fewer. Raises Unreachable where there is none.
    """
    found = _best(Program(worth_LK, budgets, formats_LK, count=count), count, most_steps)
    if not found:
        raise _unreachable(budgets, formats_LK)
    return found


def _best(program: Program, count: int, most_steps: int = MOST_STEPS) -> list[Indices]:
    """By best-first search; where that gives up, by cutting each one found away and solving again."""
    prices_C = None if program.is_hopeless else program.prices_C()
    if prices_C is None:
        return []
    ranked = Ranking(program, prices_C).best(count, most_steps)
    if ranked is not None:
        return ranked
    found = list[Indices]()
    while len(found) < count and (indices := program.best()) is not None:
        found.append(indices)
        program.cut(indices)
    # HiGHS ends within a hair of the best: what is closer than that may have come in either order.
    return sorted(found, key=lambda indices: -program.worth(indices))


def pareto(
    worth_LK: Matrix, budgets: Sequence[Budget], *, points: int = 12, formats_LK: Formats | None = None
) -> list[Solution]:
    """The front of worth against the first budget while the others hold, cheapest first: the best architecture at each
    of `points` maxima, evenly spaced from the least reachable to the budget's own maximum or, if that is less, to the
    greatest; those that a cheaper one equals are left out. Raises Unreachable where there is none.
    """
    first, *others = budgets
    least, greatest = reach(first, formats_LK)
    most = min(first.maximum, greatest)
    if first.kind == "sum":  # the others may keep the cheapest out of reach
        least = _least_beside(first, others, formats_LK)
    if least > most:
        raise _unreachable(budgets, formats_LK)
    steps = max(1, points - 1)
    front = list[Solution]()
    for maximum in dict.fromkeys([*(least + (most - least) * number / steps for number in range(steps)), most]):
        program = Program(worth_LK, [replace(first, maximum=maximum), *others], formats_LK)
        for indices in _best(program, 1):  # none: beside the others, a peak's least may be out of reach
            worth = worth_of(worth_LK, indices)
            if not front or worth > front[-1].worth:
                front.append(Solution(indices, worth, first.total(indices, formats_LK)))
    if not front:
        raise _unreachable(budgets, formats_LK)
    return front


def can_be_held(budgets: Sequence[Budget], formats_LK: Formats | None = None) -> bool:
    """Whether some architecture holds every budget."""
    first, *others = sorted(budgets, key=lambda budget: budget.kind == "peak")
    if first.kind == "sum":
        return _least_beside(first, others, formats_LK) <= first.maximum
    return bool(_best(Program(_flat(first), budgets, formats_LK), 1))


def _least_beside(first: Budget, others: Sequence[Budget], formats_LK: Formats | None) -> float:
    """The least total of a sum budget while the others hold; infinite where they cannot be held."""
    cheapest = _best(Program(_flat(first), others, formats_LK, least_of=first), 1)
    return first.total(cheapest[0], formats_LK) if cheapest else math.inf


def _flat(budget: Budget) -> Matrix:
    return [[0.0] * len(row) for row in budget.costs_LK]


def _unreachable(budgets: Sequence[Budget], formats_LK: Formats | None) -> Unreachable:
    return Unreachable(budgets, [reach(budget, formats_LK) for budget in budgets])
