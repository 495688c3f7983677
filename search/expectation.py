"""What a distribution over choices is expected to take of each budget, differentiably.

Legend: C budgets, L layers, K choices, F formats.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search.budget import Budget
from search.projection import Chain, Projection


class ExpectedCost:
    """Expected total of each budget under p_LK as a share of its maximum, (C,) and differentiable (as FBNet, eq. 7, for
    the probabilities themselves where that has a step's Gumbel-softmax shares; and what changes of format are expected
    to cost); of a peak the greatest of the layers' expected costs, or what is
    fixed. Exact for independent layers, and linear in each one's row of p_LK.
    """

    def __init__(self, budgets: Sequence[Budget], most: int) -> None:
        self.budgets = tuple(budgets)
        self.projection = given = Projection(budgets, most)
        self.costs_CLK, self.fixed_C = _float(given.costs_CLK), _float(given.fixed_C)
        self.is_peak_C = torch.from_numpy(given.is_peak_C)
        self.changes = None if given.chain is None else _ExpectedChanges(given.chain)

    def of_layers(self, p_LK: Tensor) -> Tensor:
        """Shares (C, L) that the layers are expected to take, without changes of format."""
        return (self.costs_CLK * p_LK).sum(2)

    def __call__(self, p_LK: Tensor) -> Tensor:
        """Shares (C,): 1 is exactly the maximum."""
        layers_CL = self.of_layers(p_LK)
        peak_C = torch.maximum(self.fixed_C, layers_CL.amax(1))
        sum_C = self.fixed_C + layers_CL.sum(1)
        if self.changes is not None:
            sum_C = sum_C + self.changes(p_LK)
        return torch.where(self.is_peak_C, peak_C, sum_C)


class _ExpectedChanges:
    """What changes of format are expected to cost: at each layer, and after the last one, the probability that one
    format comes times that of a choice of the other.
    """

    def __init__(self, chain: Chain) -> None:
        self.passes_LK, self.has_FLK = _float(chain.passes_LK), _float(chain.has_FLK)
        self.ends_F = torch.eye(chain.formats)[0]
        self.costs_CLFF = _float(chain.costs_CLFF)

    def __call__(self, p_LK: Tensor) -> Tensor:
        """Shares (C,)."""
        chosen_LF = (self.has_FLK * p_LK).sum(2).T
        passed_on_L = (self.passes_LK * p_LK).sum(1)
        # coming[0] = ends, coming[l + 1] = chosen[l] + passed_on[l] coming[l]; a loop takes 7 times as long.
        coming_LF: Tensor = torch.linalg.solve_triangular(
            torch.eye(len(chosen_LF) + 1) - torch.diag(passed_on_L, -1),
            torch.cat([self.ends_F[None], chosen_LF]),
            upper=False,
            unitriangular=True,
        )
        needed_LF = torch.cat([chosen_LF, self.ends_F[None]])
        return (self.costs_CLFF * coming_LF[:, :, None] * needed_LF[:, None, :]).sum((1, 2, 3))


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).float()
