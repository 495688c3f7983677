"""How a layer is stored in integers (Jacob 2017, sec. 2.1 to 2.4). The reader of a file computes exactly this."""

from typing import NamedTuple

import numpy as np

GREATEST_BIAS = 2.0**30  # in steps: the sum of a layer's products has room beside it in 32 bits
GREATEST_SPLIT = 63
LEAST_SCALE = 1e-12  # of a row of zeros: any scale would do, but not 0


class Integers(NamedTuple):
    """Weight int8 (O, ...), bias int32 (O,) in steps of scale * the input's grid, scale float32 (O,)."""

    weight: np.ndarray
    bias: np.ndarray
    scale_O: np.ndarray


def steps_of(bits: int, *, signed: bool) -> tuple[int, int]:
    """Least and greatest step of a grid of activations: two's complement, or from 0."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def integers(weight: np.ndarray, bias: np.ndarray, *, size_O: np.ndarray, bits: int, grid: float) -> Integers:
    """Weights of `bits` on rows of steps `size_O` as integers, for an input on `grid`.

    A bias has no finer steps than the products it is added to, and those of few bits are coarse: so their steps are
    split as often as 7 bits have room for (with all 8, processors without VNNI saturate). Where a bias is too many
    steps for 32 bits, as after a BatchNorm that left next to nothing of a row, the row's steps are widened instead:
    its weights lose what the bias hides.
    """
    split = max(1, GREATEST_SPLIT // (2 ** (bits - 1) - 1))
    scale_O = np.maximum(size_O / split, np.abs(bias) / (grid * GREATEST_BIAS))
    scale_O = np.maximum(scale_O, LEAST_SCALE).astype(np.float32)
    rows = scale_O.reshape(-1, *[1] * (weight.ndim - 1))
    steps = np.clip(np.rint(weight / rows), -127, 127).astype(np.int8)
    return Integers(steps, np.rint(bias / (np.float32(grid) * scale_O)).astype(np.int32), scale_O)
