"""The distribution over architectures nearest to theta's of those that are expected to hold the budgets. Torch-free.

Theta takes its choices independently, p(a) = prod_l p_l(a_l). Of all q with E_q[cost_c] <= bound_c for every budget,
the one of least KL(q || p) is q(a) ~ p(a) exp(-sum_c multiplier_c cost_c(a)), with multipliers of 0 where a budget does
not bind (Csiszar 1975, I-projection). Costs are sums over layers and over changes of format between neighbours, so q is
a Markov chain over the formats that come, and what it gives each choice and expects of each cost is exact, by one pass
forward and one backward (Rabiner 1989, sec. III). A peak is held layer by layer, by a multiplier for each; what its
changes of format take is left to the derivation.

It is one answer. Options priced as the others are likely, layer by layer and categorical by categorical, have many: a
layer that happens to be narrow makes fp32 cheap, which makes narrow likely, which draws its neighbours to fp32.

Legend: C budgets, L layers, K choices, F formats, M multipliers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from search.budget import Budget, common_boundaries

CLOSE = 1e-4  # of a bound
LARGEST_MULTIPLIER = 2.0**20
STEPS = 200  # of a descent
PASSES_ON, NO_CHOICE = -1, -2  # in place of a format


class Nearest(NamedTuple):
    """How likely each choice of each layer is, (L, K), and the expected share of each budget's maximum, (C,)."""

    q_LK: np.ndarray
    share_C: np.ndarray


class _Tilted(NamedTuple):
    """Of one set of multipliers: `log_weight` is what all architectures weigh together, `share_M` what each multiplier
    is to hold, without what is fixed.
    """

    q_LK: np.ndarray
    share_C: np.ndarray
    share_M: np.ndarray
    log_weight: float


class Projection:
    """Onto what holds `budgets`, for layers of at most `most` choices."""

    def __init__(self, budgets: Sequence[Budget], most: int) -> None:
        self.costs_CLK = np.stack([_padded(b.costs_LK, most, 0.0) / b.maximum for b in budgets])
        self.fixed_C = np.array([b.fixed / b.maximum for b in budgets])
        self.is_peak_C = np.array([b.kind == "peak" for b in budgets])
        layers = self.costs_CLK.shape[1]
        self.of_M = np.repeat(np.arange(len(budgets)), np.where(self.is_peak_C, layers, 1))  # each multiplier's budget
        common = common_boundaries(budget for budget in budgets if budget.kind == "sum")
        self.chain: Chain | None = None
        if common is not None:
            free_LFF = np.zeros((layers + 1, common.formats, common.formats))
            costs_CLFF = [
                free_LFF if b.boundaries is None or b.kind == "peak" else np.array(b.boundaries.costs_LFF) / b.maximum
                for b in budgets
            ]
            formats_LK = [[PASSES_ON if own is None else own for own in row] for row in common.formats_LK]
            self.chain = Chain(_padded(formats_LK, most, NO_CHOICE), np.stack(costs_CLFF))

    def nearest(self, log_p_LK: np.ndarray, bound_C: np.ndarray) -> Nearest:
        """The nearest to p whose expected shares are within `bound_C`; of one budget that cannot be held, the one that
        takes least; of several that cannot be held together, one that may exceed any. log_p_LK is -inf where a layer
        has no such choice, or it may not be taken.
        """
        bound_M = (bound_C - np.where(self.is_peak_C, 0.0, self.fixed_C))[self.of_M]
        found = self._tilted(log_p_LK, np.zeros(len(self.of_M)))
        if (found.share_M > bound_M + CLOSE * bound_C[self.of_M]).any():
            found = self._tilted(log_p_LK, self._multipliers(log_p_LK, bound_M))
        return Nearest(found.q_LK, found.share_C)

    def _multipliers(self, log_p_LK: np.ndarray, bound_M: np.ndarray) -> np.ndarray:
        """The multipliers that minimise the dual, log sum_a p(a) exp(-multipliers * (costs - bounds)), a convex
        function with the slope bounds - expected costs.
        """

        def dual(multiplier_M: np.ndarray) -> tuple[float, np.ndarray]:
            found = self._tilted(log_p_LK, multiplier_M)
            return found.log_weight + float(multiplier_M @ bound_M), bound_M - found.share_M

        found: np.ndarray = minimize(
            dual, np.zeros(len(bound_M)), method="L-BFGS-B", jac=True,
            bounds=[(0.0, LARGEST_MULTIPLIER)] * len(bound_M),
            options={"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": CLOSE / 10, "ftol": 0.0, "maxcor": 20},
        ).x  # fmt: skip
        return found

    def _tilted(self, log_p_LK: np.ndarray, multiplier_M: np.ndarray) -> _Tilted:
        per_layer = [np.broadcast_to(multiplier_M[self.of_M == c], len(log_p_LK)) for c in range(len(self.fixed_C))]
        log_w_LK = log_p_LK - np.einsum("cl,clk->lk", np.stack(per_layer), self.costs_CLK)
        if self.chain is None:
            log_sum_L = _log_sum(log_w_LK, axis=1)
            q_LK, log_weight = np.exp(log_w_LK - log_sum_L[:, None]), float(log_sum_L.sum())
            change_C = np.zeros(len(self.fixed_C))
        else:
            of_sums = [0.0 if is_peak else row[0] for row, is_peak in zip(per_layer, self.is_peak_C, strict=True)]
            q_LK, change_C, log_weight = self.chain.tilted(log_w_LK, np.array(of_sums))
        share_CL = np.einsum("clk,lk->cl", self.costs_CLK, q_LK)
        sum_C = share_CL.sum(1) + change_C
        share_C = np.where(self.is_peak_C, np.maximum(self.fixed_C, share_CL.max(1)), self.fixed_C + sum_C)
        held = zip(self.is_peak_C, share_CL, sum_C, strict=True)
        share_M = np.concatenate([share_L if is_peak else [total] for is_peak, share_L, total in held])
        return _Tilted(q_LK, share_C, share_M, log_weight)


class Chain:
    """Sums over all architectures where changes of format cost; own_LK is the format that a choice needs and gives."""

    def __init__(self, own_LK: np.ndarray, costs_CLFF: np.ndarray) -> None:
        self.costs_CLFF = costs_CLFF
        self.formats = costs_CLFF.shape[-1]
        self.has_FLK = np.stack([own_LK == own for own in range(self.formats)])
        self.passes_LK = own_LK == PASSES_ON

    def tilted(self, log_w_LK: np.ndarray, multiplier_C: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Marginals (L, K) of weights exp(log_w), each change weighted by exp(-multipliers * its costs); what changes
        are expected to cost, (C,); and the log of all weights together.
        """
        layers = len(log_w_LK)
        log_change_LFF = -np.einsum("c,clfg->lfg", multiplier_C, self.costs_CLFF)
        log_own_LF = _log_sum(np.where(self.has_FLK, log_w_LK, -np.inf), axis=2).T
        log_pass_L = _log_sum(np.where(self.passes_LK, log_w_LK, -np.inf), axis=1)
        log_take_LFF = log_change_LFF[:layers] + log_own_LF[:, None, :]
        log_pass_LFF = np.where(np.eye(self.formats, dtype=bool), log_pass_L[:, None, None], -np.inf)
        log_step_LFF = np.logaddexp(log_take_LFF, log_pass_LFF)
        before_LF, behind_LF = np.full((2, layers + 1, self.formats), -np.inf)
        before_LF[0, 0] = 0.0  # format 0 comes to the first layer, and is needed after the last
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
        q_LK = self.passes_LK * _share(log_w_LK, log_pass_L[:, None]) * passes_L[:, None]
        for own, has_LK in enumerate(self.has_FLK):
            q_LK += has_LK * _share(log_w_LK, log_own_LF[:, own, None]) * takes_LFF.sum(1)[:, own, None]
        return q_LK, change_C, float(log_all)


def _padded(rows: Sequence[Sequence[float]], most: int, filling: float) -> np.ndarray:
    return np.array([[*row, *[filling] * (most - len(row))] for row in rows])


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
