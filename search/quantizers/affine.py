"""The affine quantiser as data: which grid, how much of a tensor shares a step, and rounding to it in float.

A value is size * (step - zero) with a whole number `zero`, so 0 is exactly a value (Jacob 2017, eq. 1; Gholami 2021,
sec. III-B). Kinds of grids, with the steps that b bits give them:

`narrow`      -(2^(b-1) - 1) to 2^(b-1) - 1, zero 0: weights
`signed`      two's complement, zero 0: activations that no ReLU stands in front of
`unsigned`    0 to 2^b - 1, zero 0: activations after a ReLU
`asymmetric`  0 to 2^b - 1, any zero: ranges that lean to one side

Static: `fake_quantize` with the steps of a range that was calibrated. Dynamic: `dynamic`, by the tensor's own range.
Shapes: a tensor is looked at as x_RM, R rows of M values that share a step; sizes and zeros are (R, 1).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from latency.integers import steps_of
from search.kernels.grids import weight_top

Kind = Literal["narrow", "signed", "unsigned", "asymmetric"]
Per = Literal["tensor", "channel"] | int
LEAST_SIZE = 1e-30  # of rows of zeros: any step would do, but not 0


class Range(NamedTuple):
    """The least and the greatest value to represent, each (R, 1)."""

    low: Tensor
    high: Tensor


class Steps(NamedTuple):
    """Size float32 (R, 1) of a step, and the step (R, 1) that is the value 0."""

    size: Tensor
    zero: Tensor


@dataclass(frozen=True)
class Affine:
    """A quantiser. `per`: one step for the tensor, for each channel (the first dimension: output channels of a weight),
    or for each group of that many input channels (the second dimension) of each output channel.

    Raises ValueError on fewer than 2 or more than 16 bits, and on what is no kind or granularity.
    """

    bits: int
    kind: Kind = "narrow"
    per: Per = "tensor"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits: {self.bits} is not between 2 and 16")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(get_args(Kind))}")
        if self.per not in ("tensor", "channel") and not (isinstance(self.per, int) and self.per >= 1):
            raise ValueError(f"per: {self.per!r} is neither tensor nor channel nor a number of input channels")

    @property
    def is_symmetric(self) -> bool:
        """Whether step 0 is the value 0."""
        return self.kind != "asymmetric"

    @property
    def ends(self) -> tuple[int, int]:
        """Least and greatest step."""
        if self.kind == "narrow":
            return -int(weight_top(self.bits)), int(weight_top(self.bits))
        return steps_of(self.bits, signed=self.kind == "signed")

    def rows(self, x: Tensor) -> Tensor:
        """`x` as (R, M). Raises ValueError where groups do not divide the input channels."""
        if self.per == "tensor":
            return x.reshape(1, -1)
        if self.per == "channel":
            return x.reshape(len(x), -1)
        if x.ndim < 2 or x.shape[1] % self.per:
            raise ValueError(f"groups of {self.per} input channels do not divide a tensor of {tuple(x.shape)}")
        return x.reshape(x.shape[0] * x.shape[1] // self.per, -1)

    def steps(self, span: Range) -> Steps:
        """The steps that hold `span` and 0. Symmetric grids are sized by its greater end; of a two's complement grid
        that end meets the greatest step. Raises ValueError on a range that is not finite, and on one below 0 for a
        grid that starts there.
        """
        low, high = span.low.double().clamp_max(0), span.high.double().clamp_min(0)
        if not torch.isfinite(low).all() or not torch.isfinite(high).all():
            raise ValueError("a range is not finite: look for infinities and NaN in what it was calibrated on")
        if self.kind == "unsigned" and low.min() < 0:
            raise ValueError(f"a range begins at {low.min():g}, an unsigned grid at 0: take signed or asymmetric")
        bottom, top = self.ends
        if self.is_symmetric:
            size = (torch.maximum(-low, high) / top).float().clamp_min(LEAST_SIZE)
            return Steps(size, torch.zeros_like(size))
        size = ((high - low) / (top - bottom)).float().clamp_min(LEAST_SIZE)
        return Steps(size, torch.round(-low / size).clamp(bottom, top).float())


def range_of(x: Tensor, affine: Affine) -> Range:
    """The range of each row of `x`."""
    low, high = affine.rows(x.detach()).aminmax(dim=1, keepdim=True)
    return Range(low, high)


def quantize(x: Tensor, affine: Affine, steps: Steps) -> Tensor:
    """The nearest step of each value, halves to even, as whole numbers in float: the shape of `x`."""
    bottom, top = affine.ends
    return (torch.round(affine.rows(x) / steps.size) + steps.zero).clamp(bottom, top).view_as(x)


def dequantize(q: Tensor, affine: Affine, steps: Steps) -> Tensor:
    """The values of steps: the shape of `q`."""
    return ((affine.rows(q) - steps.zero) * steps.size).view_as(q)


def fake_quantize(x: Tensor, affine: Affine, steps: Steps, *, passes_beyond: bool = False) -> Tensor:
    """`x` on the grid, in float. The gradient passes straight through (Bengio 2013) where a value is within half a step
    of the grid, and is 0 beyond, as for activations; with `passes_beyond` it passes there too, as for weights, which
    could not come back otherwise.
    """
    bottom, top = affine.ends
    x_RM = affine.rows(x)
    if not passes_beyond:
        x_RM = x_RM.clamp((bottom - steps.zero - 0.5) * steps.size, (top - steps.zero + 0.5) * steps.size)
    passing = x_RM.view_as(x)
    rounded = dequantize(quantize(x.detach(), affine, steps), affine, steps)
    return rounded + (passing - passing.detach())


def dynamic(x: Tensor, affine: Affine) -> Tensor:
    """`x` on the grid of its own range: no calibration, at the cost of a pass over the tensor (Gholami 2021, III-C)."""
    return fake_quantize(x, affine, affine.steps(range_of(x, affine)))
