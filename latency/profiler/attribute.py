"""Shares the latency of whole chains among their operators.

Each chain takes about what a call costs plus what its operators cost. The rows of the table are the non-negative costs
that come closest to that in relative terms, drawn towards what each operator takes alone where chains do not tell.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latency.nonnegative import solve_nonnegative
from latency.operator import BASE
from latency.profiler.plan import Chain, Plan, paid

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
PULL = 0.1  # chains are predicted to 1-2 %, operators alone are off by 10-20 %: the ratio of the two
RESAMPLES = 24
LEAST_SHARE = 0.1  # of a call: what an operator is known to at best


class Costs(NamedTuple):
    """Of each operator of a plan: its cost and how far it moves when other chains are drawn, in microseconds."""

    latency_us: Vector
    p10_us: Vector
    p90_us: Vector


class Check(NamedTuple):
    """Relative errors of chains that the fit did not see: mean of the absolute ones and the worst."""

    mean: float
    worst: float
    chains: int


def share(plan: Plan, measured_us: Vector, rng: np.random.Generator) -> Costs:
    """Costs of `plan.rows` from the latency of each of `plan.graphs`."""
    e, chains = equations(plan, measured_us), len(plan.chains)
    costs = fit(e, np.arange(chains))
    draws = [fit(e, rng.integers(chains, size=chains)) for _ in range(RESAMPLES)]
    low, high = np.percentile(draws, [10, 90], axis=0)
    return Costs(costs, low, high)


def check(plan: Plan, measured_us: Vector) -> Check:
    """How well every fifth chain is predicted from the others."""
    e, numbers = equations(plan, measured_us), np.arange(len(plan.chains))
    held_out = numbers % 5 == 4
    costs = fit(e, numbers[~held_out])
    errors = np.abs(e.chains[held_out] @ costs / e.chains_us[held_out] - 1)
    return Check(float(errors.mean()), float(errors.max()), int(held_out.sum()))


class Equations(NamedTuple):
    """Which rows each chain pays for (chains, rows) and takes how long; the same for operators alone, without the call.

    `scale_us` (rows) is the size of a cost: what seems free alone is known to a tenth of a call.
    """

    chains: Matrix
    chains_us: Vector
    alone: Matrix
    alone_us: Vector
    scale_us: Vector


def fit(e: Equations, chosen: NDArray[np.int64]) -> Vector:
    """Costs x >= 0 of least squares: relative errors of the `chosen` chains, and PULL times those of the operators
    alone. A boundary is drawn to 0 so far as neither tells.
    """
    rows = e.chains[chosen] / e.chains_us[chosen, None] * e.scale_us
    alone = PULL * e.alone / e.scale_us[: len(e.alone), None] * e.scale_us
    nothing = np.diag([0.0] * len(e.alone) + [PULL] * (len(e.scale_us) - len(e.alone)))
    h = rows.T @ rows + alone.T @ alone + nothing**2
    g = rows.sum(axis=0) + alone.T @ (PULL * e.alone_us / e.scale_us[: len(e.alone)])
    return np.asarray(solve_nonnegative(h, g) * e.scale_us)


def equations(plan: Plan, measured_us: Vector) -> Equations:
    """From the latency of each of `plan.graphs`."""
    n, base_us = len(plan.operators), measured_us[0]
    alone_us = np.maximum(measured_us[:n] - base_us, 0.0)
    alone_us[0] = base_us
    alone = count(plan, [(operator,) for operator in plan.operators])
    alone[1:, 0] = 0.0
    sizes = [*alone_us, *[np.median(alone_us)] * len(plan.boundaries)]
    scale_us = np.maximum(sizes, LEAST_SHARE * base_us)
    return Equations(count(plan, plan.chains), measured_us[n:], alone, alone_us, scale_us)


def count(plan: Plan, chains: Sequence[Chain]) -> Matrix:
    """How often each chain pays for each of `plan.rows` (chains, rows); the base once in all."""
    column = {operator: i for i, operator in enumerate(plan.rows)}
    counts = np.zeros((len(chains), len(column)))
    counts[:, 0] = 1
    for row, chain in zip(counts, chains, strict=True):
        for operator in paid(chain):
            if operator in column and operator != BASE:
                row[column[operator]] += 1
    return counts
