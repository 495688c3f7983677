"""The exact derivation: one choice a layer, the most worth, every budget held. Torch-free.

One choice a layer under additive budgets is a multiple-choice knapsack. Where neighbours cost too (a change of format
between two layers: precision, one day layout) it is a flow over (layer, format): a choice with a format is an edge
from every incoming format to its own, a choice without one (an identity skip) passes the incoming format on. HiGHS
solves either in milliseconds.

Errors:
    Unreachable (ValueError)   no architecture holds the budgets; `.reachable` gives least and greatest of each budget
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse

Matrix = Sequence[Sequence[float]]
OPTIMAL, INFEASIBLE = 0, 2  # scipy.optimize.milp
MARGINS = (
    0.0,
    1e-9,
    1e-7,
    1e-6,
    1e-5,
)  # HiGHS holds constraints within 1e-7: a solution over budget is solved again, tighter


@dataclass(frozen=True)
class Budget:
    """`fixed + sum costs_LK[l][choice] + sum boundary_FF[format before][format after] <= maximum`, in one unit.

    The formats before the first layer and behind the last are 0.
    """

    name: str
    costs_LK: Matrix
    fixed: float
    maximum: float
    boundary_FF: Matrix = ((0.0,),)

    def total(self, indices: Sequence[int], formats_LK: Sequence[Sequence[int | None]] | None = None) -> float:
        """What the architecture with these choices costs."""
        total, current = self.fixed, 0
        for layer, index in enumerate(indices):
            own = formats_LK[layer][index] if formats_LK else 0
            after = current if own is None else own
            total += self.costs_LK[layer][index] + self.boundary_FF[current][after]
            current = after
        return total + self.boundary_FF[current][0]


class Reach(NamedTuple):
    """Least and greatest total of one budget over all architectures."""

    least: float
    greatest: float


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


class Edge(NamedTuple):
    """One choice of one layer entered in format `before`."""

    layer: int
    choice: int
    before: int
    after: int


def solve(
    worth_LK: Matrix, budgets: Sequence[Budget], formats_LK: Sequence[Sequence[int | None]] | None = None
) -> tuple[int, ...]:
    """The choice of each layer that has the most summed worth of those that hold every budget. Raises Unreachable."""
    edges = list(_edges(worth_LK, budgets, formats_LK))
    for margin in MARGINS:
        indices = _solve_once(worth_LK, budgets, edges, margin)
        if indices is None:
            break
        if all(budget.total(indices, formats_LK) <= budget.maximum for budget in budgets):
            return indices
    raise Unreachable(budgets, [reach(budget, formats_LK) for budget in budgets])


def reach(budget: Budget, formats_LK: Sequence[Sequence[int | None]] | None = None) -> Reach:
    """Least and greatest total of a budget: shortest and longest path over formats."""
    ends = []
    for sign in (1.0, -1.0):
        best = [0.0 if f == 0 else math.inf for f in range(len(budget.boundary_FF))]
        for layer, edges in _by_layer(budget.costs_LK, [budget], formats_LK):
            arrived = [math.inf] * len(best)
            for edge in edges:
                cost = best[edge.before] + sign * _cost(budget, layer, edge)
                arrived[edge.after] = min(arrived[edge.after], cost)
            best = arrived
        ends.append(sign * min(cost + sign * budget.boundary_FF[f][0] for f, cost in enumerate(best)))
    return Reach(budget.fixed + ends[0], budget.fixed + ends[1])


def _cost(budget: Budget, layer: int, edge: Edge) -> float:
    return budget.costs_LK[layer][edge.choice] + budget.boundary_FF[edge.before][edge.after]


def _by_layer(
    matrix: Matrix, budgets: Sequence[Budget], formats_LK: Sequence[Sequence[int | None]] | None
) -> Iterator[tuple[int, list[Edge]]]:
    formats = len(budgets[0].boundary_FF) if budgets else 1
    for layer, row in enumerate(matrix):
        edges = []
        for choice in range(len(row)):
            own = formats_LK[layer][choice] if formats_LK else 0
            edges += [Edge(layer, choice, before, before if own is None else own) for before in range(formats)]
        yield layer, edges


def _edges(
    worth_LK: Matrix, budgets: Sequence[Budget], formats_LK: Sequence[Sequence[int | None]] | None
) -> Iterator[Edge]:
    for _, edges in _by_layer(worth_LK, budgets, formats_LK):
        yield from edges


def _solve_once(
    worth_LK: Matrix, budgets: Sequence[Budget], edges: list[Edge], margin: float
) -> tuple[int, ...] | None:
    layers, formats = len(worth_LK), len(budgets[0].boundary_FF) if budgets else 1
    flow = sparse.lil_array(((layers + 1) * formats, len(edges)))  # what leaves a node minus what enters it
    limits = np.zeros((len(budgets), len(edges)))
    for column, edge in enumerate(edges):
        flow[edge.layer * formats + edge.before, column] += 1
        flow[(edge.layer + 1) * formats + edge.after, column] -= 1
        for row, budget in enumerate(budgets):
            last = budget.boundary_FF[edge.after][0] if edge.layer == layers - 1 else 0.0
            limits[row, column] = (_cost(budget, edge.layer, edge) + last) / budget.maximum
    sources = np.zeros((layers + 1) * formats)
    sources[0] = 1.0
    free = slice(0, layers * formats)  # whatever format the last layer leaves may end the flow
    constraints = [optimize.LinearConstraint(sparse.csr_array(flow)[free], sources[free], sources[free])]
    if budgets:
        rest = np.array([1.0 - budget.fixed / budget.maximum for budget in budgets])
        constraints.append(optimize.LinearConstraint(limits, -np.inf, rest - margin))
    worth = np.array([worth_LK[edge.layer][edge.choice] for edge in edges])
    found = optimize.milp(
        -worth,
        integrality=np.ones(len(edges), dtype=np.int64),
        bounds=optimize.Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    if found.status == INFEASIBLE:
        return None
    if found.x is None or found.status != OPTIMAL:
        raise RuntimeError(f"HiGHS gave up on the derivation: {found.message}")
    return tuple(edge.choice for edge, taken in zip(edges, found.x, strict=True) if taken > 0.5)
