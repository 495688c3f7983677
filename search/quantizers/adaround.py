"""AdaRound (Nagel 2020): whether each weight is rounded up or down is learnt from what its layer gives.

Rounding to the nearest is best for each weight alone, not for a sum of products with correlated inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from search.kernels.grids import weight_top
from search.randomness import permutation

ZETA, GAMMA = 1.1, -0.1  # ends of the stretched sigmoid (Louizos 2018), so that 0 and 1 are reached
Layer = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rounds:
    """How the rounding is learnt. `pull` weighs the regulariser against the error in units of rounding to nearest, so
    that layers of any scale take the same. For the first `warm_share` of the steps it does nothing; then its exponent
    falls from `beta[0]` to `beta[1]` in a cosine.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 0.03
    pull: float = 2.0
    beta: tuple[float, float] = (20.0, 2.0)
    warm_share: float = 0.2


class Rounded(NamedTuple):
    """The weight on its grid, and the mean squared error of what its layer gives: with it, with the nearest one."""

    weight: Tensor
    error: float
    nearest_error: float


def adaround(
    weight: Tensor, size_O: Tensor, inputs: Tensor, outputs: Tensor, *, bits: int, layer: Layer, seed: int,
    rounds: Rounds = Rounds(),
) -> Rounded:  # fmt: skip
    """Rounds `weight` (O, ...) on rows of steps `size_O` (O,), symmetric, of `bits`, so that `layer(inputs, weight)`
    comes near `outputs` (eq. 25). No weight ends further than one step from where it was, clipped to its grid.

    `inputs` (N, ...) are best those that the rounded network has there and `outputs` (N, ...) those of the float one;
    `layer` may include the activation (sec. 3.4). With a step of 0 nothing can be on a grid: raises ValueError.
    """
    if not bool((size_O > 0).all()):
        raise ValueError("size_O: a step of 0; clamp sizes of rows that are all zeros")
    top = weight_top(bits)
    size = size_O.detach().view(-1, *[1] * (weight.ndim - 1))
    exact = (weight.detach() / size).clamp(-top, top)
    below = exact.floor()
    v = _inverse(exact - below).requires_grad_()
    nearest_error = _error(layer, inputs, exact.round() * size, outputs)
    unit = max(nearest_error, torch.finfo(torch.float32).tiny)
    optimizer = torch.optim.Adam([v], rounds.lr)
    for step in range(rounds.steps):
        chosen = _batch(step, len(inputs), rounds.batch, seed)
        soft = ((below + rectified(v)).clamp(-top, top)) * size
        loss = (layer(inputs[chosen], soft) - outputs[chosen]).square().mean() / unit
        beta = _beta(step / rounds.steps, rounds)
        if beta is not None:
            loss = loss + rounds.pull * (1 - (2 * rectified(v) - 1).abs().pow(beta)).mean()
        (v.grad,) = torch.autograd.grad(loss, [v])
        optimizer.step()
    with torch.no_grad():
        rounded = (below + (rectified(v) >= 0.5)).clamp(-top, top) * size
    return Rounded(rounded, _error(layer, inputs, rounded, outputs), nearest_error)


def rectified(v: Tensor) -> Tensor:
    """h(v) in [0, 1]: how far a weight is rounded up (eq. 23)."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def _inverse(h: Tensor) -> Tensor:
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def _beta(share: float, rounds: Rounds) -> float | None:
    """The regulariser's exponent when `share` of the steps is done (eq. 24: 1 - |2h - 1|^beta); None in the warm-up."""
    if share < rounds.warm_share:
        return None
    first, last = rounds.beta
    done = torch.tensor((share - rounds.warm_share) / (1 - rounds.warm_share) * torch.pi)
    return float(last + (first - last) * 0.5 * (1 + torch.cos(done)))


def _batch(step: int, count: int, size: int, seed: int) -> Tensor:
    """Indices of a step: epoch by epoch in shuffled order, a rest smaller than a batch left out unless it is all."""
    epoch, number = divmod(step, max(1, count // size))
    return permutation(count, seed, "adaround", epoch)[number * size : (number + 1) * size]


def _error(layer: Layer, inputs: Tensor, weight: Tensor, outputs: Tensor) -> float:
    with torch.no_grad():
        return float((layer(inputs, weight) - outputs).double().square().mean())
