"""HAWQ-V3 (Yao 2021): the exact allocation of bits. The least summed Omega under size, BOPs and latency (eqs. 10-13
there), layers that share their bits tied. It is the derivation's program (search.derive) with worth = -Omega: a group
of tied layers is one layer that costs what they cost together. Latency is a `Budget` of the table's rows.

Legend: L layers, B the precisions that each may take.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from search.budget import Budget, Indices, Matrix, reach
from search.derive import Solution, pareto, solve

Groups = Sequence[Sequence[int]]


def allocate(omega_LB: Matrix, budgets: Sequence[Budget], *, tied: Groups = ()) -> Indices:
    """Which precision each layer takes. `tied` names groups of layers that take the same one. Raises Unreachable where
    the budgets cannot be held, ValueError on ties that make no sense.
    """
    groups = _groups(len(omega_LB), tied)
    found = solve(_worth(omega_LB, groups), [_merged(budget, groups) for budget in budgets])
    return _spread(found, groups)


def front(omega_LB: Matrix, budgets: Sequence[Budget], *, tied: Groups = (), points: int = 12) -> list[Solution]:
    """The front of Omega against the first budget (of size, in HAWQ-V2), cheapest first, while the others hold; each
    is exact. `worth` is -Omega.
    """
    groups = _groups(len(omega_LB), tied)
    found = pareto(_worth(omega_LB, groups), [_merged(budget, groups) for budget in budgets], points=points)
    return [solution._replace(indices=_spread(solution.indices, groups)) for solution in found]


def size_budget(weights_L: Iterable[int], bits: Sequence[int], max_bytes: float) -> Budget:
    """Bytes of the weights alone."""
    return Budget("size", [[count * b / 8 for b in bits] for count in weights_L], 0.0, max_bytes)


def bops_budget(macs_L: Iterable[int], precisions: Sequence[tuple[int, int]], maximum: float) -> Budget:
    """Bit operations: multiply-adds times bits of weights times bits of activations (HAWQ-V3, sec. 3.4)."""
    return Budget("bops", [[macs * w * a for w, a in precisions] for macs in macs_L], 0.0, maximum)


def at_fraction(budget: Budget, fraction: float) -> Budget:
    """The budget with its maximum at `fraction` of the way from the least to the greatest total, as HAWQ-V3 states
    its instances.
    """
    least, greatest = reach(budget)
    return replace(budget, maximum=least + fraction * (greatest - least))


def _groups(layers: int, tied: Groups) -> list[list[int]]:
    """All layers in groups, most of them alone, in the order of their first."""
    named = [layer for group in tied for layer in group]
    if len(set(named)) < len(named) or any(not 0 <= layer < layers for layer in named):
        raise ValueError(
            f"tied: {[list(group) for group in tied]} names a layer twice, or one that is none of {layers}"
        )
    return sorted([*(sorted(group) for group in tied if group), *([n] for n in range(layers) if n not in named)])


def _worth(omega_LB: Matrix, groups: Groups) -> Matrix:
    return [[-math.fsum(column) for column in _columns(omega_LB, group, "omega_LB")] for group in groups]


def _columns(rows_LB: Matrix, group: Sequence[int], name: str) -> list[tuple[float, ...]]:
    if len({len(rows_LB[layer]) for layer in group}) > 1:
        raise ValueError(f"{name}: the tied layers {list(group)} have different numbers of precisions to take")
    return list(zip(*(rows_LB[layer] for layer in group), strict=True))


def _merged(budget: Budget, groups: Groups) -> Budget:
    if len(groups) == len(budget.costs_LK):
        return budget
    if budget.boundaries is not None:
        raise ValueError(f"{budget.name}: pays for changes of format between neighbours, which ties would reorder")
    together = max if budget.kind == "peak" else math.fsum
    costs = [[together(column) for column in _columns(budget.costs_LK, group, budget.name)] for group in groups]
    return replace(budget, costs_LK=costs)


def _spread(found: Indices, groups: Groups) -> Indices:
    taken = {layer: index for index, group in zip(found, groups, strict=True) for layer in group}
    return tuple(taken[layer] for layer in sorted(taken))
