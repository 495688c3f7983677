"""How far a table can be trusted: predicted against measured latencies of whole networks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST_RANKED = 3


class Trust(NamedTuple):
    """Relative errors of prediction over `networks`: their mean, the 90th percentile, the worst; Spearman's rank
    correlation, None where too few networks or equal ones have no ranks to compare.
    """

    networks: int
    mape: float
    p90: float
    worst: float
    spearman: float | None


def trust(predicted_us: Sequence[float] | np.ndarray, measured_us: Sequence[float] | np.ndarray) -> Trust:
    """Compares predictions with measurements above 0, both in one unit and one order."""
    predicted_N, measured_N = np.asarray(predicted_us, float), np.asarray(measured_us, float)
    assert predicted_N.shape == measured_N.shape
    assert len(measured_N)
    error_N = np.abs(predicted_N / measured_N - 1.0)
    return Trust(
        len(measured_N), float(error_N.mean()), float(np.percentile(error_N, 90)), float(error_N.max()),
        spearman(predicted_N, measured_N),
    )  # fmt: skip


def spearman(a_N: np.ndarray, b_N: np.ndarray) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where one side does not vary."""
    if len(a_N) < LEAST_RANKED:
        return None
    ranks = [_ranks(values_N) for values_N in (a_N, b_N)]
    if any(rank_N.std() == 0 for rank_N in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values_N: np.ndarray) -> np.ndarray:
    _, inverse_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2.0)[inverse_N]
    return ranks
