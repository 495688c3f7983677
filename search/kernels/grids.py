"""Rounding grids of activations and weights: which values a number of bits can hold.

Zero is exactly a value (Gholami 2021, sec. III-B). Weights: symmetric, per output channel, sized by the greatest
magnitude of the row, so that folding a BatchNorm commutes. Activations: per tensor, two's complement or after a ReLU
from 0, sized by a running root mean square times a clip that a Gaussian would choose for the bits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from latency.integers import steps_of
from search.kernels.learnt import lsq, pact

# Clips of activations in standard deviations of a Gaussian: of least squared error up to 5 bits (as in Banner 2019,
# table 1, but numerically and for grids with 0 on them: two's complement has less above 0 than below, at 2 bits one
# step), wider from there on, where tails cost more than steps do.
SIGNED_CLIP = {2: 1.05, 3: 1.81, 4: 2.37, 5: 2.83, 6: 3.5, 7: 4.2, 8: 4.8}
UNSIGNED_CLIP = {2: 1.95, 3: 2.47, 4: 2.9, 5: 3.27, 6: 3.8, 7: 4.3, 8: 4.8}
# The same for weights, whose grids are symmetric with 0 on them: 3 steps at 2 bits, 15 at 4. Found numerically.
# Sized on all weights of a row: where most of them become zeros, survivors are clipped a little early at 3 and 4 bits.
WEIGHT_CLIP = {2: 1.22, 3: 1.95, 4: 2.47, 5: 2.9, 6: 3.27, 7: 3.61, 8: 3.92}
HALF_NORMAL = 0.5**0.5  # root mean square of max(x, 0) for a standard Gaussian x


def clip_of(bits: int, rms: float, *, signed: bool) -> float:
    """Where a grid of activations of this root mean square ends above: with `signed` a Gaussian's, else that of the
    part of one that a ReLU leaves.
    """
    return SIGNED_CLIP[bits] * rms if signed else UNSIGNED_CLIP[bits] * rms / HALF_NORMAL


def weight_top(bits: int) -> float:
    """Greatest step of a weight's grid; the least is as far below 0."""
    return float(2 ** (bits - 1) - 1)


@dataclass(frozen=True)
class Grids:
    """How much of a tensor passes as float and how much on each grid: `shares` (1 + A,) sums to 1, float first. Sized
    by `rms`, or the only grid by a step () of its own: gradients to it are LSQ's, with `clips_only` PACT's.
    """

    bits: tuple[int, ...]
    shares: Tensor
    signed: bool
    rms: float
    step: Tensor | None = None
    clips_only: bool = False

    @property
    def tops(self) -> tuple[float, ...]:
        """Greatest step of each grid."""
        return tuple(float(steps_of(b, signed=self.signed)[1]) for b in self.bits)

    @property
    def bottoms(self) -> tuple[float, ...]:
        """Least step of each grid."""
        return tuple(float(steps_of(b, signed=self.signed)[0]) for b in self.bits)

    @property
    def sizes(self) -> tuple[float, ...]:
        """Size of a step of each grid."""
        if self.step is not None:
            return (self.step.item(),)
        rms = max(self.rms, 1e-6)
        return tuple(clip_of(b, rms, signed=self.signed) / top for b, top in zip(self.bits, self.tops, strict=True))


def row_sizes(w_OM: Tensor, bits: int) -> Tensor:
    """Size (O, 1) of a step of each row of weights. A row's grid ends at its greatest magnitude or at WEIGHT_CLIP root
    mean squares of what is not 0, whichever is less.
    """
    count = (w_OM != 0).sum(1, keepdim=True).clamp_min(1)
    rms = (w_OM.double().square().sum(1, keepdim=True) / count).sqrt()
    greatest = w_OM.abs().amax(1, keepdim=True).double()
    return (torch.minimum(greatest, WEIGHT_CLIP[bits] * rms) / weight_top(bits)).float()


def rounded_rows(w_OM: Tensor, bits: int) -> Tensor:
    """Weights on a grid of `bits`, a step size for each row; gradients pass straight through."""
    with torch.no_grad():
        top, size = weight_top(bits), row_sizes(w_OM, bits).clamp_min(1e-30)
        rounded = torch.round(w_OM / size).clamp(-top, top) * size
    return rounded + (w_OM - w_OM.detach())


def on_grids(x: Tensor, grids: Grids) -> Tensor:
    """The mixture in plain torch, on any processor: what the compiled kernels compute."""
    if grids.step is not None:
        (bits,), (bottom,), (top,) = grids.bits, grids.bottoms, grids.tops
        # Where nothing learns a step is a step, to the last bit, as in a file.
        if grids.clips_only and torch.is_grad_enabled():
            return pact(x, grids.step * top, bits)
        return lsq(x, grids.step, bottom, top)
    mixed = grids.shares[0] * x
    for a, (size, bottom, top) in enumerate(zip(grids.sizes, grids.bottoms, grids.tops, strict=True)):
        inside = x.clamp((bottom - 0.5) * size, (top + 0.5) * size)  # beyond it the gradient is 0
        steps = (torch.round(inside / size).clamp(bottom, top) * size - inside).detach() + inside
        mixed = mixed + grids.shares[1 + a] * steps
    return mixed
