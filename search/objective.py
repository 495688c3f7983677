"""What an architecture step minimises: the loss of the task joined with expected latency.

`constrained` holds each budget with a multiplier of its own; `fbnet` is the paper's product. Both read expected
latency as a share of its maximum, so that a table in another unit gives the same search.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from search.derive import Budget
from search.state import State


def cost_tensor(budget: Budget, most: int) -> Tensor:
    """costs_LK as a share of the budget's maximum, filled up with 0 to `most` candidates."""
    rows = [[cost / budget.maximum for cost in row] + [0.0] * (most - len(row)) for row in budget.costs_LK]
    return torch.tensor(rows, dtype=torch.float32)


class ExpectedCost:
    """Expected total of each budget under p_LK as a share of its maximum, (C,) and differentiable (FBNet, eq. 7); of a
    peak the greatest of the layers' expected costs, or what is fixed.
    """

    def __init__(self, budgets: Sequence[Budget], most: int) -> None:
        self.costs_CLK = torch.stack([cost_tensor(budget, most) for budget in budgets])
        self.fixed_C = torch.tensor([budget.fixed / budget.maximum for budget in budgets])
        self.is_peak_C = torch.tensor([budget.kind == "peak" for budget in budgets])

    def __call__(self, p_LK: Tensor) -> Tensor:
        """Shares (C,): 1 is exactly the maximum."""
        layers_CL = (self.costs_CLK * p_LK).sum(2)
        peak_C = torch.maximum(self.fixed_C, layers_CL.amax(1))
        return torch.where(self.is_peak_C, peak_C, self.fixed_C + layers_CL.sum(1))


class Objective(Protocol):
    """Joins the task's loss with the shares of the budgets; may learn from each step."""

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """What to minimise."""

    def learn(self, share_C: Tensor) -> None:
        """Called after each architecture step with the shares it had."""

    def state_dict(self) -> State:
        """What the next step needs."""

    def load_state_dict(self, state: State) -> None:
        """Continues from `state_dict`."""


class Constrained:
    """Augmented Lagrangian on log shares: loss + sum_c (multiplier_c * g_c + rho / 2 * max(0, g_c)^2), g =
    log(expected / max).

    A multiplier rises while its budget is exceeded and falls, never below 0, while it is not (dual ascent). A log is
    as steep at twice the budget as at half of it, so a far-off start neither explodes nor stalls.
    """

    def __init__(self, constraints: int, *, rate: float = 0.05, rho: float = 1.0) -> None:
        self.multipliers_C = torch.zeros(constraints)
        self.rate, self.rho = rate, rho

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """Shares (C,) as `ExpectedCost` gives them."""
        gap_C = share_C.log()
        return loss + (self.multipliers_C * gap_C + 0.5 * self.rho * gap_C.clamp_min(0) ** 2).sum()

    def learn(self, share_C: Tensor) -> None:
        """Dual ascent."""
        self.multipliers_C = (self.multipliers_C + self.rate * share_C.detach().log()).clamp_min(0.0)

    def state_dict(self) -> State:
        """The multipliers."""
        return {"multipliers": self.multipliers_C}

    def load_state_dict(self, state: State) -> None:
        """The multipliers."""
        self.multipliers_C = state["multipliers"]


class FBNet:
    """loss * prod_c alpha * (log(1 + share_c) / log 2)^beta: FBNet, eq. 2, with latency read as a share of its
    reference.

    The paper's log(LAT) depends on the unit and is NaN below one of it; at share 1 this factor is alpha in any unit.
    """

    def __init__(self, *, alpha: float = 0.2, beta: float = 0.6) -> None:
        self.alpha, self.beta = alpha, beta

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """Shares (C,) as `ExpectedCost` gives them."""
        return loss * (self.alpha * (torch.log1p(share_C) / math.log(2)) ** self.beta).prod()

    def learn(self, share_C: Tensor) -> None:
        """Nothing to learn."""

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to load."""


def make(name: str, constraints: int) -> Objective:
    """The objective of a job's `search.objective`."""
    return Constrained(constraints) if name == "constrained" else FBNet()
