"""Grids whose step is learnt with the weights: LSQ (Esser 2020) and PACT (Choi 2018).

Both round x to `size` times whole steps between `bottom` and `top`, gradients of x passed straight through inside and
cut outside. They differ in what the step learns from. `size` is a scalar or broadcasts to x: a step for each row.
"""

from typing import Any, Literal

import torch
from torch import Tensor

Learning = Literal["lsq", "pact"]
LEAST_SIZE = 1e-8  # of a row of zeros, which any step would hold


class _Stepped(torch.autograd.Function):
    """`by_range`: the step learns from what lies beyond the grid alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: Tensor, bottom: float, top: float, by_range: bool) -> Tensor:
        ctx.save_for_backward(x, size)
        ctx.bottom, ctx.top, ctx.by_range = bottom, top, by_range
        return torch.round((x / size).clamp_(bottom, top)) * size

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, size = ctx.saved_tensors
        steps = x / size
        inside = (steps >= ctx.bottom) & (steps <= ctx.top)
        by_size = None
        if ctx.needs_input_grad[1]:
            ends = steps.clamp(ctx.bottom, ctx.top)
            slope = torch.where(inside, 0.0 if ctx.by_range else ends.round() - steps, ends)
            scale = 1.0 if ctx.by_range else (x.numel() / size.numel() * ctx.top) ** -0.5
            by_size = (g * slope).sum_to_size(size.shape) * scale
        return g * inside, by_size, None, None, None


def lsq(x: Tensor, size: Tensor, *, bottom: float, top: float) -> Tensor:
    """x on its grid; the gradient of the step is Esser 2020, eq. 3, times 1 / sqrt(n top) (sec. 2.2), n being the
    values that share a step.
    """
    out: Tensor = _Stepped.apply(x, size, bottom, top, False)  # type: ignore[no-untyped-call]
    return out


def pact(x: Tensor, size: Tensor, *, top: float) -> Tensor:
    """x behind a ReLU on its grid from 0. Its clip, alpha = top * size, learns from what lies beyond it: Choi 2018,
    eq. 3, by the chain rule d alpha / d size = top.
    """
    out: Tensor = _Stepped.apply(x, size, 0.0, top, True)  # type: ignore[no-untyped-call]
    return out
