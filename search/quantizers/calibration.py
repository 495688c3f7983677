"""The range of a grid from samples: an observer that takes them batch by batch, and methods by name.

    seen = Observer()
    for x in batches: seen.observe(x)
    steps = affine.steps(calibration("entropy")(seen, affine))

`min-max`      all that was seen; one outlier sizes the grid
`percentile`   99.99 % of what was seen, or as in `percentile@99.9` (McKinstry 2018): of magnitudes for a symmetric
               grid, with as much left out on either side for an asymmetric one
`entropy`      the magnitude at which the clipped and rounded histogram tells most of the whole one: least
               Kullback-Leibler divergence (Migacz 2017, "8-bit inference with TensorRT")
`mse`          the share of the range with the least squared error (Sung 2015; Choukroun 2019)

Ranges are (1, 1): one observer a step.
"""

import math
import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from search.quantizers.affine import Affine, Range, Steps

BINS = 4096  # a side; at least half of them up to the greatest magnitude, as TensorRT has 2048
SHARES = 1.02 ** -torch.arange(0, 301, dtype=torch.float64)  # of the range that `mse` tries, down to 1/380
PERCENTILE = 99.99
AT_ONCE = 2**22  # values that are counted at once


class Observer:
    """Count, least, greatest and a histogram of what it was shown. Its bins are a power of two wide and merge in pairs
    when a greater value comes, so that batches in any order and of any size leave the same bits. Zeros are counted
    apart: every grid holds them exactly, and after a ReLU they are half of all.
    """

    def __init__(self) -> None:
        self.low, self.high, self.count, self.zeros = math.inf, -math.inf, 0, 0
        self.counts_SB = torch.zeros(2, BINS, dtype=torch.int64)  # below 0, and above; by magnitude
        self._exponent: int | None = None  # a side ends at 2^exponent; None while all was 0

    @property
    def width(self) -> float:
        """Of a bin."""
        return 2.0 ** (self._exponent or 0) / BINS

    @property
    def magnitudes_B(self) -> Tensor:
        """Counts by magnitude, up to the bin of the greatest; without zeros."""
        counts = self.counts_SB.sum(0)
        return counts[: len(counts) - int((counts.flip(0).cumsum(0) == 0).sum())]

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """0 and the middle of every bin that is not empty, each with its count."""
        side, place = self.counts_SB.nonzero(as_tuple=True)
        middle = (side * 2 - 1) * (place + 0.5).double() * self.width
        counts = self.counts_SB[side, place]
        return torch.cat([middle.new_zeros(1), middle]), torch.cat([counts.new_tensor([self.zeros]), counts])

    def observe(self, x: Tensor) -> None:
        """Counts the values of `x`. Raises ValueError on none and on values that are not finite."""
        x_M = x.detach().flatten()
        if not len(x_M) or not bool(torch.isfinite(x_M).all()):
            raise ValueError(f"an observer was shown {len(x_M) or 'no'} values, not all of them finite")
        low, high = (float(end) for end in x_M.aminmax())
        self.low, self.high, self.count = min(self.low, low), max(self.high, high), self.count + len(x_M)
        if max(-low, high) > 0:
            self._widen(max(-low, high))
        for part in x_M.split(AT_ONCE):  # type: ignore[no-untyped-call]  # torch forgot
            part = part[part != 0].double()
            place = (part.abs() / self.width).long()
            self.counts_SB += torch.bincount((part > 0).long() * BINS + place, minlength=2 * BINS).view(2, BINS)
        self.zeros = self.count - int(self.counts_SB.sum())

    def _widen(self, greatest: float) -> None:
        exponent = math.frexp(greatest)[1]  # greatest < 2^exponent <= 2 * greatest
        if self._exponent is None:
            self._exponent = exponent
            return
        if exponent > self._exponent:
            merged = torch.arange(BINS) >> min(exponent - self._exponent, BINS.bit_length())
            self.counts_SB = torch.zeros_like(self.counts_SB).index_add_(1, merged, self.counts_SB)
            self._exponent = exponent


Calibrate = Callable[[Observer, Affine], Range]


def _range(low: float, high: float) -> Range:
    return Range(*(torch.tensor([[end]], dtype=torch.float64) for end in (low, high)))


def _clipped(seen: Observer, threshold: float) -> Range:
    return _range(max(seen.low, -threshold), min(seen.high, threshold))


def min_max(seen: Observer, affine: Affine) -> Range:
    """All that was seen."""
    return _range(seen.low, seen.high)


def percentile(seen: Observer, affine: Affine, share: float = PERCENTILE) -> Range:
    """`share` per cent of what was seen, to a bin: the edge, towards 0, of the bin in which that many are reached."""
    if share == 100:
        return min_max(seen, affine)
    if affine.is_symmetric:
        held_B = (seen.zeros + seen.magnitudes_B.cumsum(0)).numpy()
        return _clipped(seen, int(np.searchsorted(held_B, _rank(share, seen.count))) * seen.width)
    values, counts = seen.points
    order = values.argsort()
    edges, held = (values - values.sign() * seen.width / 2)[order], counts[order].cumsum(0).numpy()
    beyond = seen.count - _rank((100 + share) / 2, seen.count)
    low, high = (int(np.searchsorted(held, rank)) for rank in (beyond + 1, seen.count - beyond))
    return _range(max(seen.low, float(edges[low])), min(seen.high, float(edges[high])))


def _rank(share: float, count: int) -> int:
    """How many values, at least one, are `share` per cent of `count`: products of floats end a little above."""
    return max(1, math.ceil(round(share * count / 100, 6)))


def entropy(seen: Observer, affine: Affine) -> Range:
    """Clips both ends at the threshold whose grid has the least divergence from all that was seen but zeros."""
    if seen.zeros == seen.count:
        return min_max(seen, affine)
    counts_B, levels = seen.magnitudes_B.double().numpy(), affine.ends[1] + 1
    ends = range(min(levels, len(counts_B)), len(counts_B) + 1)
    best = min(ends, key=lambda end: (_divergence(counts_B, end, levels), end))
    return _clipped(seen, best * seen.width)


def _divergence(counts_B: np.ndarray, end: int, levels: int) -> float:
    """KL(P || Q): P the first `end` bins with all outliers in the last, Q the same bins without them, their counts
    averaged over the bins of each level that are not empty. Infinite where outliers fall into an empty bin.
    """
    inside = counts_B[:end]
    clipped = inside.copy()
    clipped[-1] += counts_B[end:].sum()
    level = np.arange(end) * levels // end
    held = inside > 0
    if (clipped > 0)[-1] and not held[-1]:
        return math.inf
    total, filled = np.bincount(level, inside), np.bincount(level, held)
    rounded = total[level[held]] / filled[level[held]]
    p, q = clipped[held] / clipped.sum(), rounded / rounded.sum()
    return float((p * np.log(p / q)).sum())


def mse(seen: Observer, affine: Affine) -> Range:
    """Of shares of the whole range, in steps of 2 %, the one whose grid errs least over the histogram."""
    whole = min_max(seen, affine)
    tried = Range(SHARES[:, None] * whole.low, SHARES[:, None] * whole.high)
    values, counts = seen.points
    error = _squared_error(values[None], affine, affine.steps(tried)) @ counts.double()
    best = int(error.argmin())
    return Range(tried.low[best : best + 1], tried.high[best : best + 1])


def _squared_error(values_1M: Tensor, affine: Affine, steps: Steps) -> Tensor:
    """(R, M): of every value on every of R grids."""
    bottom, top = affine.ends
    size, zero = steps.size.double(), steps.zero.double()
    return ((torch.round(values_1M / size).clamp(bottom - zero, top - zero)) * size - values_1M).square()


CALIBRATIONS: dict[str, Calibrate] = {"min-max": min_max, "percentile": percentile, "entropy": entropy, "mse": mse}


def calibration(name: str) -> Calibrate:
    """The method of that name; raises ValueError on any other."""
    found = re.fullmatch(r"percentile@(\d+(?:\.\d+)?)", name)
    if found and 0 < float(found[1]) <= 100:
        return lambda seen, affine: percentile(seen, affine, float(found[1]))
    if name not in CALIBRATIONS:
        raise ValueError(f"{name!r} is none of {', '.join(CALIBRATIONS)}, percentile@Q with Q above 0, at most 100")
    return CALIBRATIONS[name]


def calibrated(x: Tensor, affine: Affine, method: str) -> Steps:
    """The steps of each row of a tensor in memory, such as a weight."""
    calibrate, ranges = calibration(method), list[Range]()
    for row_M in affine.rows(x):
        seen = Observer()
        seen.observe(row_M)
        ranges.append(calibrate(seen, affine))
    return affine.steps(Range(torch.cat([r.low for r in ranges]), torch.cat([r.high for r in ranges])))
