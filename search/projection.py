"""The distribution over architectures nearest to theta's of those that are expected to hold the budgets. Torch-free.

Theta takes its choices independently, p(a) = prod_l p_l(a_l). Of all q with E_q[cost_c] <= bound_c for every budget,
the one of least KL(q || p) is q(a) ~ p(a) exp(-sum_c multiplier_c cost_c(a)), with multipliers of 0 where a budget does
not bind (Csiszar 1975, I-projection). Costs are sums over layers and over changes of format between neighbours, so q is
a Markov chain over the formats that come, and what it gives each choice and expects of each cost is exact, by one pass
forward and one backward (Rabiner 1989, sec. III).

It is one answer. Options priced as the others are likely, layer by layer and categorical by categorical, have many: a
layer that happens to be narrow makes fp32 cheap, which makes narrow likely, which draws its neighbours to fp32.

Legend: C budgets, L layers, K choices, F formats.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from search.budget import Budget, common_boundaries

SWEEPS = 20
CLOSE = 1e-4  # of a bound
LARGEST_MULTIPLIER = 1e6
PASSES_ON = -1
NO_CHOICE = -2


class Nearest(NamedTuple):
    """How likely each choice of each layer is, (L, K), and the expected share of each budget's maximum, (C,)."""

    q_LK: np.ndarray
    share_C: np.ndarray


class _Expected(NamedTuple):
    """Of one set of multipliers; `share_CL` is what the layers alone take."""

    q_LK: np.ndarray
    share_C: np.ndarray
    share_CL: np.ndarray


class Projection:
    """Onto what holds `budgets`, for layers of at most `most` choices."""

    def __init__(self, budgets: Sequence[Budget], most: int) -> None:
        self.costs_CLK = np.stack([_padded(b.costs_LK, most, 0.0) / b.maximum for b in budgets])
        self.fixed_C = np.array([b.fixed / b.maximum for b in budgets])
        self.is_peak_C = np.array([b.kind == "peak" for b in budgets])
        common = common_boundaries(budgets)
        self.chain: _Chain | None = None
        if common is not None:
            free_LFF = np.zeros((len(common.costs_LFF), common.formats, common.formats))
            costs_CLFF = [
                free_LFF if b.boundaries is None else np.array(b.boundaries.costs_LFF) / b.maximum for b in budgets
            ]
            formats_LK = [[PASSES_ON if own is None else own for own in row] for row in common.formats_LK]
            self.chain = _Chain(_padded(formats_LK, most, NO_CHOICE).astype(int), np.stack(costs_CLFF))

    def nearest(self, log_p_LK: np.ndarray, bound_C: np.ndarray) -> Nearest:
        """The nearest to p whose expected shares are within `bound_C`, or as low as they go. log_p_LK is -inf where a
        layer has no such choice, or it may not be taken.
        """
        multiplier_CL = np.zeros((len(self.fixed_C), len(log_p_LK)))
        expected = self._expected(log_p_LK, multiplier_CL)
        for _ in range(SWEEPS):
            bends_C, before_CL = multiplier_CL.any(1), multiplier_CL.copy()
            exceeded_C = expected.share_C > bound_C * (1 + CLOSE)
            slack_C = bends_C & (expected.share_C < bound_C * (1 - CLOSE))  # another one's multiplier holds it, too
            if not (exceeded_C | slack_C).any():
                break
            for number in np.flatnonzero(exceeded_C | bends_C).tolist():
                self._hold(log_p_LK, multiplier_CL, number, bound_C[number])
            expected = self._expected(log_p_LK, multiplier_CL)
            if np.array_equal(multiplier_CL, before_CL):
                break  # as low as they go
        return Nearest(expected.q_LK, expected.share_C)

    def _hold(self, log_p_LK: np.ndarray, multiplier_CL: np.ndarray, number: int, bound: float) -> None:
        """Sets the multiplier of one budget to the least that holds it beside the others; of a peak layer by layer: it
        has the slope of its greatest layer alone.
        """
        if not self.is_peak_C[number]:
            row_L = multiplier_CL[number]

            def exceeds(multiplier: float) -> float:
                row_L[:] = multiplier
                return float(self._expected(log_p_LK, multiplier_CL).share_C[number]) - bound

            row_L[:] = _root(exceeds)
            return
        share_L = self._expected(log_p_LK, multiplier_CL).share_CL[number]
        for layer in np.flatnonzero((share_L > bound) | (multiplier_CL[number] > 0)).tolist():

            def exceeds_here(multiplier: float, layer: int = layer) -> float:
                multiplier_CL[number, layer] = multiplier
                return float(self._expected(log_p_LK, multiplier_CL).share_CL[number, layer]) - bound

            multiplier_CL[number, layer] = _root(exceeds_here)

    def _expected(self, log_p_LK: np.ndarray, multiplier_CL: np.ndarray) -> _Expected:
        log_w_LK = log_p_LK - np.einsum("cl,clk->lk", multiplier_CL, self.costs_CLK)
        if self.chain is None:
            w_LK = np.exp(log_w_LK - log_w_LK.max(1, keepdims=True))
            q_LK, change_C = w_LK / w_LK.sum(1, keepdims=True), np.zeros(len(self.fixed_C))
        else:
            # A peak has no cost between layers, a sum has one multiplier.
            q_LK, change_C = self.chain.expected(log_w_LK, np.where(self.is_peak_C, 0.0, multiplier_CL[:, 0]))
        share_CL = np.einsum("clk,lk->cl", self.costs_CLK, q_LK)
        peak_C, sum_C = np.maximum(self.fixed_C, share_CL.max(1)), self.fixed_C + share_CL.sum(1) + change_C
        return _Expected(q_LK, np.where(self.is_peak_C, peak_C, sum_C), share_CL)


class _Chain:
    """Sums over all architectures where changes of format cost: own_LK is the format that a choice needs and gives."""

    def __init__(self, own_LK: np.ndarray, costs_CLFF: np.ndarray) -> None:
        self.costs_CLFF = costs_CLFF
        self.formats = costs_CLFF.shape[-1]
        self.has_FLK = np.stack([own_LK == own for own in range(self.formats)])
        self.passes_LK = own_LK == PASSES_ON

    def expected(self, log_w_LK: np.ndarray, multiplier_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Marginals (L, K) of weights exp(log_w), each change weighted by exp(-multipliers * its costs); and what
        changes are expected to cost, (C,).
        """
        layers = len(log_w_LK)
        log_change_LFF = -np.einsum("c,clfg->lfg", multiplier_C, self.costs_CLFF)
        log_own_LF = _log_sum(np.where(self.has_FLK, log_w_LK, -np.inf), axis=2).T
        log_pass_L = _log_sum(np.where(self.passes_LK, log_w_LK, -np.inf), axis=1)
        log_take_LFF = log_change_LFF[:layers] + log_own_LF[:, None, :]
        log_pass_LFF = np.where(np.eye(self.formats, dtype=bool), log_pass_L[:, None, None], -np.inf)
        log_step_LFF = np.logaddexp(log_take_LFF, log_pass_LFF)
        before_LF, behind_LF = np.full((2, layers + 1, self.formats), -np.inf)
        before_LF[0, 0] = 0.0  # format 0 comes to the first layer, and is needed behind the last
        behind_LF[layers] = log_change_LFF[layers, :, 0]
        for layer in range(layers):
            before_LF[layer + 1] = np.logaddexp.reduce(before_LF[layer][:, None] + log_step_LFF[layer], axis=0)
            at = layers - 1 - layer
            behind_LF[at] = np.logaddexp.reduce(log_step_LFF[at] + behind_LF[at + 1], axis=1)
        log_all = behind_LF[0, 0]
        takes_LFF = np.exp(before_LF[:-1, :, None] + log_take_LFF + behind_LF[1:, None, :] - log_all)
        passes_L = np.exp(before_LF[:-1] + log_pass_L[:, None] + behind_LF[1:] - log_all).sum(1)
        leaves_F = np.exp(before_LF[-1] + behind_LF[-1] - log_all)
        change_C = np.einsum("lfg,clfg->c", takes_LFF, self.costs_CLFF[:, :layers])
        change_C += self.costs_CLFF[:, layers, :, 0] @ leaves_F
        within_LK = self.passes_LK * _share(log_w_LK, log_pass_L[:, None]) * passes_L[:, None]
        for own, has_LK in enumerate(self.has_FLK):
            within_LK = within_LK + has_LK * _share(log_w_LK, log_own_LF[:, own, None]) * takes_LFF.sum(1)[:, own, None]
        return within_LK, change_C


def _log_sum(log: np.ndarray, axis: int) -> np.ndarray:
    """log of the sum of exp; -inf of nothing."""
    greatest = log.max(axis, keepdims=True)
    safe = np.where(np.isfinite(greatest), greatest, 0.0)
    with np.errstate(divide="ignore"):
        found: np.ndarray = np.log(np.exp(log - safe).sum(axis)) + safe.squeeze(axis)
    return found


def _share(log_w_LK: np.ndarray, log_whole_L1: np.ndarray) -> np.ndarray:
    """exp(log_w - log_whole) where that is a share of it, not above 1."""
    whole = np.where(np.isfinite(log_whole_L1), log_whole_L1, np.inf)
    share: np.ndarray = np.exp(np.minimum(log_w_LK - whole, 0.0))
    return share


def _root(exceeds: Callable[[float], float]) -> float:
    """The least multiplier at which `exceeds`, which falls, is not above 0; the largest where there is none."""
    if exceeds(0.0) <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while exceeds(high) > 0:
        if high >= LARGEST_MULTIPLIER:
            return high
        low, high = high, high * 4
    return float(brentq(exceeds, low, high, rtol=1e-6))


def _padded(rows: Sequence[Sequence[float]], most: int, filling: float) -> np.ndarray:
    return np.array([[*row, *[filling] * (most - len(row))] for row in rows])
