"""The exact derivation: one choice a layer, the most worth, every budget held. Torch-free.

One choice a layer under additive budgets is a multiple-choice knapsack. Where neighbours cost too (a change of format
between two layers: precision, one day layout) it is a flow over (layer, format): a choice with a format is an edge
from every incoming format to its own, a choice without one (an identity skip) passes the incoming format on. A budget
on a peak forbids the choices above it. `search.program` states all this, `search.ranking` and HiGHS solve it.

Errors:
    Unreachable (ValueError)   no architecture holds the budgets; `.reachable` gives least and greatest of each budget
    TooHard (RuntimeError)     which is best was not proven in the time there was (search.budget.within)
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from search.budget import Boundaries, Budget, Indices, Matrix, Reach, common_boundaries, reach, worth_of
from search.program import Program
from search.ranking import MOST_STEPS, Ranking

__all__ = [
    "Boundaries",
    "Budget",
    "Reach",
    "Solution",
    "Unreachable",
    "can_be_held",
    "cheapest",
    "pareto",
    "reach",
    "refuse_unreachable",
    "solve",
    "solve_best",
    "worth_of",
]


ALMOST_NOTHING = 1e-6  # of a budget, in place of none of it


class Unreachable(ValueError):
    """No architecture holds the budgets."""

    def __init__(self, budgets: Sequence[Budget], reachable: Sequence[Reach]) -> None:
        self.reachable = {budget.name: reach for budget, reach in zip(budgets, reachable, strict=True)}
        parts = (f"{b.name}: {b.maximum:.10g} asked, {r} reachable" for b, r in zip(budgets, reachable, strict=True))
        alone = all(reach.least <= budget.maximum for budget, reach in zip(budgets, reachable, strict=True))
        super().__init__(
            ("the budgets cannot be held together: " if alone else "unreachable budget: ") + "; ".join(parts)
        )


class Solution(NamedTuple):
    """An architecture, its summed worth, and its total of the first budget."""

    indices: Indices
    worth: float
    total: float


def solve(worth_LK: Matrix, budgets: Sequence[Budget]) -> Indices:
    """The choice of each layer that has the most summed worth of those that hold every budget. Raises Unreachable."""
    return solve_best(worth_LK, budgets, 1)[0]


def solve_best(
    worth_LK: Matrix, budgets: Sequence[Budget], count: int, *, most_steps: int = MOST_STEPS
) -> list[Indices]:
    """The `count` architectures of most summed worth among those that hold every budget, best first; fewer where
    there are fewer. Raises Unreachable where there is none.
    """
    found = _best(Program(worth_LK, budgets, count=count), count, most_steps)
    if not found:
        raise _unreachable(budgets)
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
    return sorted(found, key=lambda indices: (-program.worth(indices), indices))


def pareto(worth_LK: Matrix, budgets: Sequence[Budget], *, points: int = 12) -> list[Solution]:
    """The front of worth against the first budget while the others hold, cheapest first: the best architecture at each
    of `points` maxima, evenly spaced from the least reachable to the budget's own maximum or, if that is less, to the
    greatest; those that a cheaper one equals are left out. Raises Unreachable where there is none.
    """
    first, *others = budgets
    least, greatest = reach(first)
    most = min(first.maximum, greatest)
    if first.kind == "sum":  # the others may keep the cheapest out of reach
        least = _least_beside(first, others)
    if least > most:
        raise _unreachable(budgets)
    steps = max(1, points - 1)
    front = list[Solution]()
    for maximum in dict.fromkeys([*(least + (most - least) * number / steps for number in range(steps)), most]):
        maximum = maximum or ALMOST_NOTHING * (most or 1.0)  # some cost nothing
        program = Program(worth_LK, [replace(first, maximum=maximum), *others])
        for indices in _best(program, 1):  # none: beside the others, a peak's least may be out of reach
            worth = worth_of(worth_LK, indices)
            if not front or worth > front[-1].worth:
                front.append(Solution(indices, worth, first.total(indices)))
    if not front:
        raise _unreachable(budgets)
    return front


def can_be_held(budgets: Sequence[Budget]) -> bool:
    """Whether some architecture holds every budget."""
    first, *others = sorted(budgets, key=lambda budget: budget.kind == "peak")
    if first.kind == "sum":
        return _least_beside(first, others) <= first.maximum
    return bool(_best(Program(_flat(first), budgets), 1))


def refuse_unreachable(budgets: Sequence[Budget]) -> None:
    """Raises Unreachable where no architecture holds every budget."""
    if not can_be_held(budgets):
        raise _unreachable(budgets)


def cheapest(budgets: Sequence[Budget], *, worth_LK: Matrix | None = None) -> Indices:
    """The architecture that takes the least of all sum budgets together, each as a share of its maximum, and holds
    every budget; where all are peaks, the layers' shares are summed. Worth of -inf forbids a choice.

    Raises Unreachable.
    """
    summed = _summed([budget for budget in budgets if budget.kind == "sum"] or budgets)
    found = _best(Program(_flat(summed) if worth_LK is None else worth_LK, budgets, least_of=summed), 1)
    if not found:
        raise _unreachable(budgets)
    return found[0]


def _summed(budgets: Sequence[Budget]) -> Budget:
    """Shares of the maxima, summed."""
    layers = range(len(budgets[0].costs_LK))
    costs_LK = [
        [
            math.fsum(shares)
            for shares in zip(*([c / b.maximum for c in b.costs_LK[layer]] for b in budgets), strict=True)
        ]
        for layer in layers
    ]
    common = common_boundaries(budgets)
    if common is not None:
        paying = [(budget.boundaries, budget.maximum) for budget in budgets if budget.boundaries is not None]
        costs_LFF = sum(np.array(boundaries.costs_LFF) / maximum for boundaries, maximum in paying)
        common = replace(common, costs_LFF=np.asarray(costs_LFF).tolist())
    return Budget("all together", costs_LK, 0.0, float(len(budgets)), boundaries=common)


def _least_beside(first: Budget, others: Sequence[Budget]) -> float:
    """The least total of a sum budget while the others hold; infinite where they cannot be held."""
    cheapest = _best(Program(_flat(first), others, least_of=first), 1)
    return first.total(cheapest[0]) if cheapest else math.inf


def _flat(budget: Budget) -> Matrix:
    return [[0.0] * len(row) for row in budget.costs_LK]


def _unreachable(budgets: Sequence[Budget]) -> Unreachable:
    return Unreachable(budgets, [reach(budget) for budget in budgets])
