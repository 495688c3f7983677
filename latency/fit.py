"""A table fitted from whole networks, for devices on which operators cannot be timed alone.

Each network is a sum of its operators, of changes of format between them, and of a call (`base`). Least relative
squares with a little ridge, no latency below zero; operators of one shape share a row, wherever they stand. How strong
the ridge is, networks that were left out decide. What stands in every network (stem, head) cannot be told from the call
and is part of it.

Errors:
    FitError (ValueError)   networks that no table can be fitted from
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latency.nonnegative import solve_nonnegative
from latency.operator import BASE, Operator, with_boundaries
from latency.table import Entry, LatencyTable, TableInfo
from latency.trust import Trust, trust

FOLDS = 8
RIDGES = tuple(10.0**power for power in range(-6, 0))  # of a relative error of 1, for a row of the mean latency
SMALLEST = 1e-12
LEAST = 2 * FOLDS


class FitError(ValueError):
    """Networks that no table can be fitted from."""


class Network(NamedTuple):
    """The operators of a network in order, and what it takes on the device."""

    operators: tuple[Operator, ...]
    latency_us: float


class Fitted(NamedTuple):
    """The table, and how well tables fitted from the others predicted each network."""

    table: LatencyTable
    held_out: Trust


def fit_table(networks: Sequence[Network], info: TableInfo) -> Fitted:
    """The table that predicts `networks` best. Raises FitError."""
    if len(networks) < LEAST:
        raise FitError(f"{len(networks)} networks: at least {LEAST} have to be measured")
    for number, network in enumerate(networks):
        if not (math.isfinite(network.latency_us) and network.latency_us > 0):
            raise FitError(f"networks[{number}]: a latency of {network.latency_us} us is not above 0")
    networks = [network._replace(operators=tuple(with_boundaries(network.operators))) for network in networks]
    operators, always = _told_apart(networks)
    counts_NO = np.array([[1.0, *map(network.operators.count, operators)] for network in networks])
    latency_N = np.array([network.latency_us for network in networks])
    predicted_RN = [_left_out(counts_NO, latency_N, ridge) for ridge in RIDGES]
    best = min(range(len(RIDGES)), key=lambda r: trust(predicted_RN[r], latency_N).mape)
    costs_O = _solve(counts_NO, latency_N, RIDGES[best])
    costs = zip((BASE, *operators, *always), [*costs_O.tolist(), *([0.0] * len(always))], strict=True)
    rows = {operator: Entry(round(cost, 4), samples=len(networks)) for operator, cost in costs}
    return Fitted(LatencyTable(info, rows), trust(predicted_RN[best], latency_N))


def _told_apart(networks: Sequence[Network]) -> tuple[list[Operator], list[Operator]]:
    """Operators that differ between networks, and those that all have equally often; no identities."""
    used = dict.fromkeys(o for network in networks for o in network.operators)
    counts = {o: {network.operators.count(o) for network in networks} for o in used if not (o.is_identity or o == BASE)}
    return [o for o in counts if len(counts[o]) > 1], [o for o in counts if len(counts[o]) == 1]


def _left_out(counts_NO: np.ndarray, latency_N: np.ndarray, ridge: float) -> np.ndarray:
    """Each network as predicted by what is fitted from those of other folds."""
    predicted_N = np.empty_like(latency_N)
    fold_N = np.arange(len(latency_N)) % FOLDS
    for fold in range(FOLDS):
        out = fold_N == fold
        predicted_N[out] = counts_NO[out] @ _solve(counts_NO[~out], latency_N[~out], ridge)
    return predicted_N


def _solve(counts_NO: np.ndarray, latency_N: np.ndarray, ridge: float) -> np.ndarray:
    """argmin over costs >= 0 of the mean of (counts costs / latency - 1)^2, plus ridge |costs / mean|^2; the base goes
    free.
    """
    mean = float(latency_N.mean())
    a_NO = counts_NO * (mean / latency_N)[:, None]
    shrunk_O = np.full(counts_NO.shape[1], ridge)
    shrunk_O[0] = SMALLEST
    return np.asarray(mean * solve_nonnegative(a_NO.T @ a_NO / len(a_NO) + np.diag(shrunk_O), a_NO.mean(0)))
