"""Grids that training sizes: LSQ's step and PACT's clip, as autograd functions with the gradients of the papers.

Neither is the derivative of the rounding, which is 0 or nowhere: rounding passes gradients straight through.
"""

from typing import Any, Literal

import torch
from torch import Tensor

Learning = Literal["lsq", "pact"]
LEAST_SIZE = 1e-8  # of a row of zeros, which any step would hold


def _spread(size: Tensor, x: Tensor) -> Tensor:
    """A scalar as it is, sizes (O,) along the first dimension of `x`."""
    return size if size.ndim == 0 else size.view(-1, *[1] * (x.ndim - 1))


class _Lsq(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: Tensor, bottom: float, top: float, scale: float) -> Tensor:
        ctx.save_for_backward(x, size)
        ctx.bottom, ctx.top, ctx.scale = bottom, top, scale
        spread = _spread(size, x)
        return torch.round(x / spread).clamp(bottom, top) * spread

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, size = ctx.saved_tensors
        v = x / _spread(size, x)
        inside = (v > ctx.bottom) & (v < ctx.top)
        by_size = torch.where(inside, torch.round(v) - v, v.clamp(ctx.bottom, ctx.top)) * g
        total = by_size.sum() if size.ndim == 0 else by_size.flatten(1).sum(1)
        return g * inside, total * ctx.scale, None, None, None


def lsq(x: Tensor, size: Tensor, bottom: float, top: float, *, count: int | None = None) -> Tensor:
    """`x` on the grid of steps `bottom` to `top` of a learnt `size`, () or (O,) along the first dimension of `x`.

    Gradients are those of Esser 2020, eq. 3 and 5; that of a size is divided by sqrt(count * top) (sec. 2.2), `count`
    being what shares the size: by default the values of `x`, right for weights. Of activations give the features of
    one picture. Raises ValueError on sizes that do not fit, and on one that is not above 0.
    """
    if size.ndim > 1 or (size.ndim == 1 and len(size) != len(x)):
        raise ValueError(f"size: {tuple(size.shape)} is neither () nor one for each of the {len(x)} rows")
    if not bool((size > 0).all()):
        raise ValueError(f"size: a step of {size.min().item():g} is none; lower the learning rate of the sizes")
    shared = x.numel() // size.numel() if count is None else count
    out: Tensor = _Lsq.apply(x, size, bottom, top, (shared * top) ** -0.5)  # type: ignore[no-untyped-call]
    return out


def lsq_size(x: Tensor, top: float, *, per_row: bool = False) -> Tensor:
    """The size to start from: 2 <|x|> / sqrt(top) (Esser 2020, sec. 2.1), () or (O,)."""
    magnitude = x.detach().abs()
    mean = magnitude.flatten(1).mean(1) if per_row else magnitude.mean()
    size: Tensor = 2.0 * mean / top**0.5
    return size


class _Pact(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(x, clip)
        size = clip / (2.0**bits - 1)
        return torch.round(torch.clamp(x, torch.zeros_like(clip), clip) / size) * size

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, clip = ctx.saved_tensors
        return g * ((x >= 0) & (x < clip)), (g * (x >= clip)).sum(), None


def pact(x: Tensor, clip: Tensor, bits: int) -> Tensor:
    """`x` clipped to 0 and a learnt `clip` () and rounded on 2^bits - 1 steps (Choi 2018, eq. 1 and 2), in place of a
    ReLU. The clip's gradient is that of the values at or above it (eq. 3), so decay of `clip` must pull it down.
    Raises ValueError on a clip that is not above 0.
    """
    if not bool(clip > 0):
        raise ValueError(f"clip: {clip.item():g} is not above 0; lower its learning rate or its decay")
    out: Tensor = _Pact.apply(x, clip, bits)  # type: ignore[no-untyped-call]
    return out
