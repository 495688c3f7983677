"""Shares the latency of whole chains among their operators.

Each chain takes about what a call costs plus what its operators cost. The rows of the table are the non-negative costs
that come closest to that in relative terms, drawn towards what each operator takes alone where chains do not tell.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latency.nonnegative import solve_nonnegative
from latency.profiler.plan import Chain, Plan

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
PULL = 0.1  # chains are predicted to 1-2 %, operators alone are off by 10-20 %: the ratio of the two
RESAMPLES = 24


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
    """Costs from the latency of each of `plan.graphs`."""
    alone_us, chains_us, counts = _parts(plan, measured_us)
    costs = fit(counts, chains_us, alone_us)
    draws = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(chains_us), size=len(chains_us))
        draws.append(fit(counts[drawn], chains_us[drawn], alone_us))
    low, high = np.percentile(draws, [10, 90], axis=0)
    return Costs(costs, low, high)


def check(plan: Plan, measured_us: Vector) -> Check:
    """How well every fifth chain is predicted from the others."""
    alone_us, chains_us, counts = _parts(plan, measured_us)
    held_out = np.arange(len(chains_us)) % 5 == 4
    costs = fit(counts[~held_out], chains_us[~held_out], alone_us)
    errors = np.abs(counts[held_out] @ costs / chains_us[held_out] - 1)
    return Check(float(errors.mean()), float(errors.max()), int(held_out.sum()))


def fit(counts: Matrix, chains_us: Vector, alone_us: Vector) -> Vector:
    """Least squares under x >= 0: relative error of `counts @ x` against `chains_us`, and of x against `alone_us`.

    `counts` (chains, operators). The pull towards `alone_us` makes the normal equations well-posed.
    """
    scale = np.maximum(alone_us, 0.1 * alone_us[0])  # an operator that seems free alone is known to a tenth of a call
    a = counts / chains_us[:, None] * scale
    h = a.T @ a + PULL**2 * np.eye(len(scale))
    g = a.sum(axis=0) + PULL**2 * alone_us / scale
    return np.asarray(solve_nonnegative(h, g) * scale)


def _parts(plan: Plan, measured_us: Vector) -> tuple[Vector, Vector, Matrix]:
    """What each operator takes alone, without the call (the base is the call); chains; counts (chains, operators)."""
    n = len(plan.operators)
    base_us = measured_us[0]
    alone_us = np.maximum(measured_us[:n] - base_us, 0.0)
    alone_us[0] = base_us
    return alone_us, measured_us[n:], count(plan, plan.chains)


def count(plan: Plan, chains: tuple[Chain, ...]) -> Matrix:
    """How often each operator stands in each chain (chains, operators); the base once in all."""
    column = {operator: i for i, operator in enumerate(plan.operators)}
    counts = np.zeros((len(chains), len(column)))
    counts[:, 0] = 1
    for row, chain in zip(counts, chains, strict=True):
        for operator in chain:
            row[column[operator]] += 1
    return counts
