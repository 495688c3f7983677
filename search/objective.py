"""What an architecture step minimises: the loss of the task joined with expected latency.

`constrained` holds each budget after every step; `fbnet` is the paper's product. Both read expected
latency as a share of its maximum, so that a table in another unit gives the same search.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from search.axes import PerAxis
from search.expectation import ExpectedCost
from search.state import State
from search.supernet.theta import Theta

LEAST_EXPECTED = 1e-6  # of a budget: below it the gradient of the paper's product grows without end


class Objective(Protocol):
    """Joins the task's loss with the shares of the budgets; may correct theta after each architecture step.
    `in_logits` says whether costs have a gradient to the logits; else those learn from the task alone.
    """

    in_logits: bool

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """What to minimise."""

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Called after each architecture step; `progress` through them is in (0, 1]."""

    def expected(self, theta: Theta, cost: ExpectedCost) -> Tensor:
        """Shares (C,) of the maxima that an architecture is expected to take."""

    def state_dict(self) -> State:
        """What the next step needs."""

    def load_state_dict(self, state: State) -> None:
        """Continues from `state_dict`."""


class Constrained:
    """The task's loss alone, and after each step the nearest distribution whose expected cost holds the budgets
    (search.projection): architectures in proportion to exp(logits - multiplier * cost), with the multiplier at which
    the budget holds. So no rate has to be tuned: dual ascent would only approach what is computed here. The supernet
    mixes by categoricals, so each is tilted to its share of that distribution; drawn one by one, without what one has
    to do with another, they may take some more or less than the bound. Early on the bound comes down from where theta
    starts, over the first half of the steps: a budget that falls on fresh weights would close the large choices before
    anything is known of them.
    """

    RAMP = 0.5
    in_logits = False

    def __init__(self) -> None:
        self.start_C: Tensor | None = None
        self.expected_C: Tensor | None = None

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """The loss."""
        return loss

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Tilts theta, anew each time, to what is expected to be within its bounds."""
        if self.start_C is None:
            self.start_C = cost(theta.log_untilted().exp().float())
        left = max(0.0, 1.0 - progress / self.RAMP)
        self.expected_C = _hold(theta, cost, 1.0 + (self.start_C - 1.0).clamp_min(0.0) * left)

    def expected(self, theta: Theta, cost: ExpectedCost) -> Tensor:
        """Of the distribution that theta was settled to; before that, of its categoricals."""
        return expected_shares(theta, cost) if self.expected_C is None else self.expected_C

    def state_dict(self) -> State:
        """Where the bounds started, and what is expected."""
        return {"start": self.start_C, "expected": self.expected_C}

    def load_state_dict(self, state: State) -> None:
        """Of `state_dict`."""
        self.start_C, self.expected_C = state["start"], state["expected"]


@torch.no_grad()
def expected_shares(theta: Theta, cost: ExpectedCost) -> Tensor:
    """Shares (C,) of the maxima that theta's categoricals take where they are drawn one by one."""
    return cost(theta.per_choice(theta.probabilities()))


def even_within(theta: Theta, cost: ExpectedCost) -> Theta:
    """Categoricals over open options of `theta`, tilted as by `Constrained`, from even ones."""
    even = Theta(theta.axes).requires_grad_(False)
    for axis in PerAxis._fields:
        even.opened(axis).copy_(theta.opened(axis))
    _hold(even, cost, torch.ones_like(cost.fixed_C))
    return even


def paths_within(theta: Theta, cost: ExpectedCost) -> Theta:
    """What single paths of weight steps are drawn from: `even_within`, but precisions even again. Else a tight budget
    has most layers drawn at the fewest bits, and weights learn little behind their noise.
    """
    paths = even_within(theta, cost)
    paths.tilt("precision").zero_()
    return paths


def _hold(theta: Theta, cost: ExpectedCost, bound_C: Tensor) -> Tensor:
    """Tilts theta to the nearest distribution whose expected shares are within the bounds. Gives those shares, (C,)."""
    found = cost.projection.nearest(theta.log_untilted().numpy(), bound_C.double().numpy())
    theta.tilt_to(torch.from_numpy(found.q_LK))
    return torch.from_numpy(found.share_C).float()


class FBNet:
    """loss * prod_c alpha * (log(1 + share_c) / log 2)^beta: FBNet, eq. 2, with latency read as a share of its
    reference.

    The paper's log(LAT) depends on the unit and is NaN below one of it; at share 1 this factor is alpha in any unit.
    """

    in_logits = True

    def __init__(self, *, alpha: float = 0.2, beta: float = 0.6) -> None:
        self.alpha, self.beta = alpha, beta

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """Shares (C,) as `ExpectedCost` gives them. A share of nothing, where no choice costs any, has no gradient."""
        share_C = share_C.clamp_min(LEAST_EXPECTED)
        return loss * (self.alpha * (torch.log1p(share_C) / math.log(2)) ** self.beta).prod()

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Nothing to correct."""

    def expected(self, theta: Theta, cost: ExpectedCost) -> Tensor:
        """Of independent choices, as in the paper."""
        return expected_shares(theta, cost)

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to load."""


def make(name: str) -> Objective:
    """The objective of a job's `search.objective`."""
    return Constrained() if name == "constrained" else FBNet()
