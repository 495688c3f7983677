"""What an architecture step minimises: the loss of the task joined with expected latency.

`constrained` holds each budget behind every step; `fbnet` is the paper's product. Both read expected
latency as a share of its maximum, so that a table in another unit gives the same search.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from search.axes import PerAxis
from search.derive import Unreachable, solve
from search.expectation import ExpectedCost
from search.state import State
from search.supernet.theta import Sample, Theta

SWEEPS, BISECTIONS = 4, 20
CLOSE = 1e-4
LARGEST_MULTIPLIER = 1e6


class Objective(Protocol):
    """Joins the task's loss with the shares of the budgets; may correct theta behind each architecture step.
    `in_logits` says whether costs have a gradient to the logits; else those learn from the task alone.
    """

    in_logits: bool

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """What to minimise."""

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Called behind each architecture step; `progress` through them is in (0, 1]."""

    def state_dict(self) -> State:
        """What the next step needs."""

    def load_state_dict(self, state: State) -> None:
        """Continues from `state_dict`."""


class Constrained:
    """The task's loss alone, and behind each step the nearest distribution whose expected cost holds the budgets.

    Nearest in KL divergence is a tilt: logits - multiplier * cost, with the one multiplier at which the budget holds.
    So no rate has to be tuned: dual ascent would only approach the multiplier that is computed here. Choices of one
    layer are a product of categoricals; each is tilted by what its options cost under the others. Early on the bound
    comes down from where theta starts, over the first half of the steps: a budget that falls on fresh weights would
    close the large choices before anything is known of them.
    """

    RAMP = 0.5
    in_logits = False

    def __init__(self) -> None:
        self.start_C: Tensor | None = None

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """The loss."""
        return loss

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Tilts theta, anew each time, until every expected share is within its bound."""
        p = theta.probabilities()
        for axis in PerAxis._fields:
            theta.tilt(axis).zero_()
        if self.start_C is None:
            self.start_C = expected_shares(theta, cost)
        left = max(0.0, 1.0 - progress / self.RAMP)
        _hold(theta, cost, p, 1.0 + (self.start_C - 1.0).clamp_min(0.0) * left)

    def state_dict(self) -> State:
        """Where the bounds started."""
        return {"start": self.start_C}

    def load_state_dict(self, state: State) -> None:
        """Where the bounds started."""
        self.start_C = state["start"]


@torch.no_grad()
def expected_shares(theta: Theta, cost: ExpectedCost) -> Tensor:
    """Shares (C,) of the maxima that theta expects."""
    return cost(theta.per_choice(theta.probabilities()))


def even_within(theta: Theta, cost: ExpectedCost) -> Theta:
    """The distribution over open options of `theta`, nearest to an even one, whose expected cost holds the budgets."""
    even = Theta(theta.axes).requires_grad_(False)
    for axis in PerAxis._fields:
        even.opened(axis).copy_(theta.opened(axis))
    _hold(even, cost, even.probabilities(), torch.ones_like(cost.fixed_C))
    return even


def paths_within(theta: Theta, cost: ExpectedCost) -> Theta:
    """What single paths of weight steps are drawn from: `even_within`, but precisions even again. Else a tight budget
    has most layers drawn at the fewest bits, and weights learn little behind their noise.
    """
    paths = even_within(theta, cost)
    paths.tilt("precision").zero_()
    return paths


def _hold(theta: Theta, cost: ExpectedCost, p: Sample, bound_C: Tensor) -> None:
    """Tilts theta until every expected share is within its bound, options priced as the others were likely in `p`.

    Where changes of format cost, such prices can mislead: two neighbours that each take the format which the other had
    pay again. There `_lead` holds what prices do not.
    """
    before = [theta.tilt(axis).clone() for axis in PerAxis._fields]
    for _ in range(SWEEPS):
        exceeded = _exceeded(theta, cost, bound_C)
        if not exceeded:
            return
        for number in exceeded:
            if not _tilt(theta, cost, p, number, float(bound_C[number])) and cost.changes is not None:
                _lead(theta, cost, before, bound_C)
                return
            p = theta.probabilities()
    if cost.changes is not None and _exceeded(theta, cost, bound_C):
        _lead(theta, cost, before, bound_C)


def _exceeded(theta: Theta, cost: ExpectedCost, bound_C: Tensor) -> list[int]:
    found: list[int] = (expected_shares(theta, cost) > bound_C * (1 + CLOSE)).nonzero().flatten().tolist()
    return found


def _tilt(theta: Theta, cost: ExpectedCost, at: Sample, number: int, bound: float) -> bool:
    """Tilts against the cost of constraint `number`, options priced as the others were likely in `at`, until its
    expected share is `bound` or as low as it goes. Says whether it is.

    A peak is held layer by layer: it has the slope of its greatest layer alone, which would be tilted for the others.
    """
    if not cost.is_peak_C[number]:
        return _lower(theta, at, lambda p_LK: cost(p_LK)[number], bound)
    expected_L = cost.of_layers(theta.per_choice(theta.probabilities()))[number]
    held = [
        _lower(theta, at, partial(_of_layer, cost, number, layer), bound)
        for layer in (expected_L > bound).nonzero().flatten().tolist()
    ]
    return all(held)


def _of_layer(cost: ExpectedCost, number: int, layer: int, p_LK: Tensor) -> Tensor:
    return cost.of_layers(p_LK)[number, layer]


def _lower(theta: Theta, at: Sample, share: Callable[[Tensor], Tensor], bound: float) -> bool:
    """Tilts against the slope that `share` of p_LK has at `at` until it is `bound` or as low as it goes. Says whether
    it is.
    """
    p = PerAxis(*(one.detach().requires_grad_() for one in at))
    slopes = torch.autograd.grad(share(theta.per_choice(p)), list(p))
    before = [theta.tilt(axis).clone() for axis in PerAxis._fields]

    @torch.no_grad()
    def holds() -> bool:
        return float(share(theta.per_choice(theta.probabilities()))) <= bound

    return _follow(theta, before, slopes, holds)


def _lead(theta: Theta, cost: ExpectedCost, before: Sequence[Tensor], bound_C: Tensor) -> None:
    """Tilts theta, from the tilts `before`, towards the best open architecture that holds the bounds, until all of them
    are held: they are at the latest where nothing else is left. Without such an architecture it does nothing.
    """
    axes, limits = theta.axes, zip(cost.budgets, bound_C.tolist(), strict=True)
    open_LK = theta.per_choice(PerAxis(*(theta.opened(axis).float() for axis in PerAxis._fields))).tolist()
    worth_LK = [
        [worth if is_open else -math.inf for worth, is_open in zip(row, opened, strict=False)]
        for row, opened in zip(theta.worth(), open_LK, strict=True)
    ]
    try:
        leader = solve(worth_LK, [replace(budget, maximum=budget.maximum * bound) for budget, bound in limits])
    except Unreachable:
        return
    taken_LKPS = axes.index_LKPS == np.array(leader)[:, None, None, None]
    slopes = [torch.from_numpy(~taken_LKPS.any(axis=others)).float() for others in ((2, 3), (1, 3), (1, 2))]
    _follow(theta, before, slopes, lambda: bool((expected_shares(theta, cost) <= bound_C).all()))


def _follow(theta: Theta, before: Sequence[Tensor], slopes: Sequence[Tensor], holds: Callable[[], bool]) -> bool:
    """Sets the tilts to `before` + multiplier * `slopes` with the least multiplier that bisection finds to hold, or the
    largest. Says whether it holds.
    """

    def at(multiplier: float) -> bool:
        for axis, old, slope in zip(PerAxis._fields, before, slopes, strict=True):
            torch.add(old, slope, alpha=multiplier, out=theta.tilt(axis))
        return holds()

    low, high = 0.0, 1.0
    while not at(high) and high < LARGEST_MULTIPLIER:
        low, high = high, high * 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if at(middle) else (middle, high)
    return at(high)


class FBNet:
    """loss * prod_c alpha * (log(1 + share_c) / log 2)^beta: FBNet, eq. 2, with latency read as a share of its
    reference.

    The paper's log(LAT) depends on the unit and is NaN below one of it; at share 1 this factor is alpha in any unit.
    """

    in_logits = True

    def __init__(self, *, alpha: float = 0.2, beta: float = 0.6) -> None:
        self.alpha, self.beta = alpha, beta

    def __call__(self, loss: Tensor, share_C: Tensor) -> Tensor:
        """Shares (C,) as `ExpectedCost` gives them."""
        return loss * (self.alpha * (torch.log1p(share_C) / math.log(2)) ** self.beta).prod()

    def settle(self, theta: Theta, cost: ExpectedCost, progress: float) -> None:
        """Nothing to correct."""

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to load."""


def make(name: str) -> Objective:
    """The objective of a job's `search.objective`."""
    return Constrained() if name == "constrained" else FBNet()
