"""Rounding grids of activations and weights: which values a number of bits can hold.

Symmetric, zero exactly a value (Gholami 2021, sec. III-B). Weights: per output channel, sized by the greatest
magnitude of the row, so that folding a BatchNorm commutes. Activations: per tensor, sized by a running root mean
square times a clip that a Gaussian would choose for the bits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Clips in standard deviations of a Gaussian, near the least squared error of a uniform grid (Banner 2019, table 1).
CLIP = {2: 1.7, 3: 2.2, 4: 2.8, 5: 3.3, 6: 3.8, 7: 4.3, 8: 4.8}
# The same for weights, whose grids are symmetric with 0 on them: 3 steps at 2 bits, 15 at 4. Found numerically.
# Sized on all weights of a row: where most of them become zeros, survivors are clipped a little early at 3 and 4 bits.
WEIGHT_CLIP = {2: 1.22, 3: 1.95, 4: 2.47, 5: 2.9, 6: 3.27, 7: 3.61, 8: 3.92}
HALF_NORMAL = 0.5**0.5  # root mean square of max(x, 0) for a standard Gaussian x


def signed_top(bits: int) -> float:
    """Greatest step of a signed grid."""
    return float(2 ** (bits - 1) - 1)


@dataclass(frozen=True)
class Grids:
    """How much of a tensor passes as float and how much on each grid: `shares` (1 + A,) sums to 1, float first."""

    bits: tuple[int, ...]
    shares: Tensor
    signed: bool
    rms: float

    @property
    def tops(self) -> tuple[float, ...]:
        """Greatest step of each grid."""
        return tuple(signed_top(b) if self.signed else float(2**b - 1) for b in self.bits)

    @property
    def sizes(self) -> tuple[float, ...]:
        """Size of a step of each grid."""
        deviation = max(self.rms, 1e-6) / (1.0 if self.signed else HALF_NORMAL)
        return tuple(CLIP[b] * deviation / top for b, top in zip(self.bits, self.tops, strict=True))


def rounded_rows(w_OM: Tensor, bits: int) -> Tensor:
    """Weights on a grid of `bits`, a step size for each row; gradients pass straight through. A row's grid ends at its
    greatest magnitude or at WEIGHT_CLIP root mean squares of what is not 0, whichever is less.
    """
    with torch.no_grad():
        top = signed_top(bits)
        count = (w_OM != 0).sum(1, keepdim=True).clamp_min(1)
        rms = (w_OM.double().square().sum(1, keepdim=True) / count).sqrt()
        greatest = w_OM.abs().amax(1, keepdim=True).double()
        size = (torch.minimum(greatest, WEIGHT_CLIP[bits] * rms) / top).float().clamp_min(1e-30)
        rounded = torch.round(w_OM / size).clamp(-top, top) * size
    return rounded + (w_OM - w_OM.detach())


def on_grids(x: Tensor, grids: Grids) -> Tensor:
    """The mixture in plain torch, on any processor: what the compiled kernels compute."""
    mixed = grids.shares[0] * x
    low = -1.0 if grids.signed else 0.0
    for a, (size, top) in enumerate(zip(grids.sizes, grids.tops, strict=True)):
        limit = (top + 0.5) * size  # beyond it the gradient is 0
        inside = x.clamp(low * limit, limit)
        steps = (torch.round(inside / size).clamp(low * top, top) * size - inside).detach() + inside
        mixed = mixed + grids.shares[1 + a] * steps
    return mixed
