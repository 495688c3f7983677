"""What a distribution over choices is expected to take of each budget, differentiably.

Legend: C budgets, L layers, K choices, F formats.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from search.budget import Boundaries, Budget, common_boundaries
from search.projection import Projection

PADDING = -2
PASSES_ON = -1


def cost_tensor(budget: Budget, most: int) -> Tensor:
    """costs_LK as a share of the budget's maximum, filled up with 0 to `most` candidates."""
    rows = [[cost / budget.maximum for cost in row] + [0.0] * (most - len(row)) for row in budget.costs_LK]
    return torch.tensor(rows, dtype=torch.float32)


class ExpectedCost:
    """Expected total of each budget under p_LK as a share of its maximum, (C,) and differentiable (FBNet, eq. 7, and
    what changes of format are expected to cost); of a peak the greatest of the layers' expected costs, or what is
    fixed. Exact for independent layers, and linear in each one's row of p_LK.
    """

    def __init__(self, budgets: Sequence[Budget], most: int) -> None:
        self.budgets = tuple(budgets)
        self.most = most
        self.costs_CLK = torch.stack([cost_tensor(budget, most) for budget in budgets])
        self.fixed_C = torch.tensor([budget.fixed / budget.maximum for budget in budgets])
        self.is_peak_C = torch.tensor([budget.kind == "peak" for budget in budgets])
        common = common_boundaries(budgets)
        self.changes = None if common is None else _ExpectedChanges(budgets, common, most)

    @cached_property
    def projection(self) -> Projection:
        """Onto what is expected to hold the budgets."""
        return Projection(self.budgets, self.most)

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
    """What changes of format are expected to cost: at each layer, and behind the last one, the probability that one
    format comes times that of a choice of the other.
    """

    def __init__(self, budgets: Sequence[Budget], common: Boundaries, most: int) -> None:
        own_LK = torch.tensor(
            [
                [PASSES_ON if own is None else own for own in row] + [PADDING] * (most - len(row))
                for row in common.formats_LK
            ]
        )
        self.passes_LK = (own_LK == PASSES_ON).float()
        self.has_FLK = torch.stack([own_LK == own for own in range(common.formats)]).float()
        self.ends_F = torch.eye(common.formats)[0]
        free_LFF = torch.zeros(len(common.costs_LFF), common.formats, common.formats)
        self.costs_CLFF = torch.stack(
            [free_LFF if b.boundaries is None else torch.tensor(b.boundaries.costs_LFF) / b.maximum for b in budgets]
        )

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
