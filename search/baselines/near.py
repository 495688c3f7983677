"""The best architecture near its budgets: networks are only to be compared where they cost the same. Torch-free."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from search.budget import NEAR, Boundaries, Budget, Indices, Matrix, binding, worth_of
from search.derive import Unreachable, solve

LESS = 0.05  # where no architecture spends NEAR of a budget, so much less is asked, until one does
ROUNDING = 1e-9


class Near(NamedTuple):
    """An architecture, and the share of a binding budget that it was asked to spend; 0 where none binds."""

    indices: Indices
    share: float


def best_near(worth_LK: Matrix, budgets: Sequence[Budget]) -> Near:
    """The most worth of those that hold every budget and spend NEAR of one that binds; where there is none, as many
    times LESS below as it takes. Worth of -inf forbids a choice. Raises Unreachable where none holds the budgets.
    """
    tight = binding(budgets)
    for number in range(round(NEAR / LESS) if tight else 0):
        share = NEAR - LESS * number
        found = [indices for budget in tight for indices in _spending(worth_LK, budgets, budget, share)]
        if found:
            return Near(max(found, key=lambda indices: worth_of(worth_LK, indices)), share)
    return Near(solve(worth_LK, budgets), 0.0)


def _spending(worth_LK: Matrix, budgets: Sequence[Budget], budget: Budget, share: float) -> Iterator[Indices]:
    """The best that holds `budgets` and spends `share` of `budget`; of a peak, which one choice spends, one for each
    layer. What spends it by a change of format alone is not looked for.
    """
    if budget.kind == "sum":
        yield from _solved(worth_LK, [*budgets, _at_least(budget, share)])
        return
    for layer, costs in enumerate(budget.costs_LK):
        forced = [*worth_LK]
        forced[layer] = [
            worth if cost >= share * budget.maximum else -math.inf
            for worth, cost in zip(worth_LK[layer], costs, strict=True)
        ]
        yield from _solved(forced, budgets)


def _solved(worth_LK: Matrix, budgets: Sequence[Budget]) -> list[Indices]:
    try:
        return [solve(worth_LK, budgets)]
    except Unreachable:
        return []


def _at_least(budget: Budget, share: float) -> Budget:
    """The budget that is held where `share` of `budget` is spent: what is left over to the dearest choices is bounded.
    Its own maximum stands on both sides, so that the bound is positive.
    """
    dearest_L = [max(row) for row in budget.costs_LK]
    left_LK = [[top - cost for cost in row] for top, row in zip(dearest_L, budget.costs_LK, strict=True)]
    most = math.fsum([budget.maximum, budget.fixed, *dearest_L]) - (share + ROUNDING) * budget.maximum
    changes = budget.boundaries
    if changes is not None:
        changes = Boundaries(changes.formats_LK, [[[-c for c in row] for row in ff] for ff in changes.costs_LFF])
    name = f"{budget.name}, at least {share:g} of it"
    return replace(budget, name=name, costs_LK=left_LK, fixed=budget.maximum, maximum=most, boundaries=changes)
