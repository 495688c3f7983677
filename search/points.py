"""The operating points of a comparison: a job's budgets, and tighter ones that can be held. Torch-free."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from search.budget import Budget, reach

STEP = 0.15  # of the way, between two points


class Point(NamedTuple):
    """Budgets at one share of the way from the least to the job's own; at share 1 they are the job's own."""

    share: float
    budgets: tuple[Budget, ...]


def operating_points(budgets: Sequence[Budget], count: int) -> tuple[Point, ...]:
    """`count` points: the job's own, then 0.85, 0.7, 0.55, 0.4 of the way to it.

    The way begins at what the cheapest architecture takes (search.derive.cheapest; under one budget, the least that can
    be reached) and ends at each budget's maximum, or where that is less at the greatest that can be reached. That
    architecture holds every point, so none is out of reach. Raises search.derive.Unreachable where it holds none.
    """
    own = Point(1.0, tuple(budgets))
    if count == 1:
        return (own,)
    from search.derive import cheapest  # loads scipy, which most requests do not need

    least = cheapest(budgets)
    shares = (round(1.0 - STEP * number, 2) for number in range(1, count))
    return own, *(Point(share, tuple(_tightened(b, b.total(least), share) for b in budgets)) for share in shares)


def _tightened(budget: Budget, least: float, share: float) -> Budget:
    way = min(budget.maximum, reach(budget).greatest) - least
    return replace(budget, maximum=(least + share * max(0.0, way)) or budget.maximum)  # 0 where all cost nothing
