"""The derivation as an integer program: a path of one edge a layer through (layer, format). Torch-free.

A choice entered in a format is an edge, its variable 1 where it is taken. Rows: what enters a (layer, format) leaves
it; each sum budget, as a share of its maximum; each architecture that was cut away. A peak budget only takes edges out.
Shapes: E edges, C sum budgets.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize, sparse

from search.budget import Budget, Indices, Matrix, TooHard, common_boundaries, seconds_left, worth_of

OPTIMAL, OUT_OF_TIME, INFEASIBLE = 0, 1, 2  # scipy.optimize, both milp and linprog
# HiGHS holds a row within 1e-6 and the objective within 1e-6, neither of which scipy lets one set. So what is over
# budget by less is cut away, and where that is a crowd the row is tightened; and worth is spread over SPREAD.
CUTS_BEFORE_MARGIN = 32
TOLD = "which architecture is best was not proven in good time: give fewer constraints, or ask for fewer architectures"
MOST_COMPARED = 4096  # choices of a layer, each with each
MARGINS = (0.0, 2e-6, 1e-5)
SPREAD = 1e4


class Program:
    """The best architecture under budgets, again and again with those found `cut` away, up to `count` of them.

    Worth of -inf forbids a choice. With `least_of` it is that budget's total, not worth, that decides. A choice that
    `count` others of its layer beat in everything is left out: with each of them there is an architecture as good.
    Raises ValueError where budgets give the choices different formats; to solve it may raise TooHard.
    """

    def __init__(
        self,
        worth_LK: Matrix,
        budgets: Sequence[Budget],
        *,
        least_of: Budget | None = None,
        count: int = 1,
    ) -> None:
        self.worth_LK, self.budgets, self.least_of = worth_LK, tuple(budgets), least_of
        boundaries = common_boundaries(self.budgets if least_of is None else (*self.budgets, least_of))
        self.formats_LK = None if boundaries is None else boundaries.formats_LK
        self.layers, self.formats = len(worth_LK), 1 if boundaries is None else boundaries.formats
        peaks = [budget for budget in budgets if budget.kind == "peak"]
        sums = [budget for budget in budgets if budget.kind == "sum"]
        worth_E = self._edges(peaks, count)
        self.worth_E = worth_E if least_of is None else -self._costs(least_of)
        self.limits_CE = np.array([self._costs(b) / b.maximum for b in sums]).reshape(len(sums), len(worth_E))
        self.rest_C = np.array([1.0 - budget.fixed / budget.maximum for budget in sums])
        layers_left = len(np.unique(self.layer_E))
        self.is_hopeless = layers_left < self.layers or any(peak.fixed > peak.maximum for peak in peaks)
        self._cuts: list[np.ndarray] = []

    def _edges(self, peaks: Sequence[Budget], count: int) -> np.ndarray:
        edges, worth = [], []
        for layer, row in enumerate(self.worth_LK):
            beaten = self._beaten(layer)
            for choice, value in enumerate(row):
                if value == -math.inf or any(b.costs_LK[layer][choice] > b.maximum for b in peaks):
                    continue
                if beaten[choice] >= count:
                    continue
                own = None if self.formats_LK is None else self.formats_LK[layer][choice]
                for before in range(self.formats):
                    after = before if own is None else own
                    if not any(self._exceeds(peak, layer, before, after) for peak in peaks):
                        edges.append((layer, choice, before, after))
                        worth.append(float(value))
        self.layer_E, self.choice_E, self.before_E, self.after_E = np.array(edges, np.int64).reshape(-1, 4).T
        return np.array(worth)

    def _exceeds(self, peak: Budget, layer: int, before: int, after: int) -> bool:
        """Whether the change of format in front of `layer`, or after the last one, is above the peak."""
        if peak.boundaries is None:
            return False
        changes_LFF = peak.boundaries.costs_LFF
        behind = changes_LFF[-1][after][0] if layer == self.layers - 1 else 0.0
        return max(changes_LFF[layer][before][after], behind) > peak.maximum

    def _beaten(self, layer: int) -> np.ndarray:
        """How many choices of the layer beat each: the same format, no less worth, no greater cost, and where all is
        equal an earlier place. 0 where there are too many to compare: that costs time alone.
        """
        if len(self.worth_LK[layer]) > MOST_COMPARED:
            return np.zeros(len(self.worth_LK[layer]), np.int64)
        first = self.worth_LK if self.least_of is None else self.least_of.costs_LK
        sign = -1.0 if self.least_of is None else 1.0
        forbidden = np.isneginf(self.worth_LK[layer])  # where costs decide, they could beat what is not
        columns = [
            forbidden,
            sign * np.array(first[layer]),
            *(np.array(budget.costs_LK[layer]) for budget in self.budgets),
        ]
        worse = np.ones((len(columns[0]),) * 2, bool)
        equal = worse.copy()
        for column in columns:
            worse &= column[:, None] <= column
            equal &= column[:, None] == column
        if self.formats_LK is not None:
            own = np.array([-1 if found is None else found for found in self.formats_LK[layer]])
            worse &= own[:, None] == own
        worse &= ~(equal & np.tri(len(equal), dtype=bool))  # also the diagonal
        return np.asarray(worse.sum(0))

    def _costs(self, budget: Budget) -> np.ndarray:
        """What each edge costs of a sum; the last layer's pay for the way back to format 0."""
        most = max(map(len, budget.costs_LK))
        costs_LK = np.array([[*row, *[0.0] * (most - len(row))] for row in budget.costs_LK])
        found = costs_LK[self.layer_E, self.choice_E]
        if budget.boundaries is not None:
            costs_LFF = np.array(budget.boundaries.costs_LFF)
            is_last = self.layer_E == self.layers - 1
            found = found + costs_LFF[self.layer_E, self.before_E, self.after_E]
            found = found + np.where(is_last, costs_LFF[-1, self.after_E, 0], 0.0)
        return np.asarray(found)

    def holds(self, indices: Indices) -> bool:
        """Whether an architecture holds every budget, to the last digit."""
        return all(budget.total(indices) <= budget.maximum for budget in self.budgets)

    def worth(self, indices: Indices) -> float:
        """What decides: the summed worth, or less of `least_of`."""
        if self.least_of is not None:
            return self.least_of.fixed - self.least_of.total(indices)
        return worth_of(self.worth_LK, indices)

    def prices_C(self) -> np.ndarray | None:
        """What one more share of each sum budget would be worth to the linear relaxation; None: it has no solution."""
        if not len(self.rest_C):
            return self.rest_C
        flow = self._flow()
        linprog: Any = optimize.linprog  # its stubs know no sparse rows
        found = linprog(
            -self.worth_E,
            A_ub=self.limits_CE,
            b_ub=self.rest_C,
            A_eq=flow.A,
            b_eq=flow.lb,
            bounds=(0, 1),
            options={"time_limit": _time_left()},
        )
        if found.status == INFEASIBLE:
            return None
        if found.status != OPTIMAL:
            raise _gave_up(found)
        return np.asarray(np.maximum(0.0, -found.ineqlin.marginals))

    def cut(self, indices: Indices) -> None:
        """Leaves an architecture out from now on."""
        self._cuts.append((np.array(indices)[self.layer_E] == self.choice_E).astype(float))

    def best(self) -> Indices | None:
        """The best architecture that is left and holds every budget, or None."""
        if self.is_hopeless:
            return None
        for margin in MARGINS:
            for _ in range(CUTS_BEFORE_MARGIN):
                indices = self._solve(margin)
                if indices is None or self.holds(indices):
                    return indices
                self.cut(indices)
        raise RuntimeError("HiGHS gives nothing but architectures a hair's breadth over budget")

    def _solve(self, margin: float) -> Indices | None:
        span = float(np.ptp(self.worth_E)) * self.layers
        found = optimize.milp(
            -self.worth_E * (SPREAD / span if span else 1.0),
            integrality=np.ones(len(self.worth_E), dtype=np.int64),
            bounds=optimize.Bounds(0, 1),
            constraints=[self._flow(), *self._rows(margin)],
            options={"mip_rel_gap": 0.0, "time_limit": _time_left()},
        )
        if found.status == INFEASIBLE:
            return None
        if found.x is None or found.status != OPTIMAL:
            raise _gave_up(found)
        taken = np.flatnonzero(found.x > 0.5)
        chosen = dict(zip(self.layer_E[taken].tolist(), self.choice_E[taken].tolist(), strict=True))
        return tuple(chosen[layer] for layer in range(self.layers))

    def _flow(self) -> optimize.LinearConstraint:
        """What leaves a node minus what enters it: 1 at the source; whatever format comes last may end the path."""
        columns, nodes = np.arange(len(self.layer_E)), self.layers * self.formats
        leaves = self.layer_E * self.formats + self.before_E
        enters = (self.layer_E + 1) * self.formats + self.after_E
        places = np.concatenate([leaves, enters]), np.concatenate([columns, columns])
        signs = np.repeat([1.0, -1.0], len(columns))
        matrix = sparse.csr_array((signs, places), shape=(nodes + self.formats, len(columns)))[:nodes]
        source = np.zeros(nodes)
        source[0] = 1.0
        return optimize.LinearConstraint(matrix, source, source)

    def _rows(self, margin: float) -> list[optimize.LinearConstraint]:
        rows = []
        if len(self.rest_C):
            rows.append(optimize.LinearConstraint(self.limits_CE, -np.inf, self.rest_C - margin))
        if self._cuts:
            rows.append(optimize.LinearConstraint(np.array(self._cuts), -np.inf, self.layers - 1))
        return rows


def _time_left() -> float:
    """For HiGHS, which most solves take some hundredths of a second of. Raises TooHard where there is none."""
    left = seconds_left()
    if left <= 0:
        raise TooHard(TOLD)
    return left


def _gave_up(found: optimize.OptimizeResult) -> RuntimeError:
    if found.status == OUT_OF_TIME:
        return TooHard(TOLD)
    return RuntimeError(f"HiGHS gave up on the derivation: {found.message}")
