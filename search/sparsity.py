"""Which weights stay when a share of them becomes zero: the greatest magnitudes of each output channel.

Row by row, so that the mask of a narrower layer needs nothing of the wider one it was cut from. N:M keeps the N
greatest of every M neighbours along a row (Mishra 2021); `unstructured` the greatest of the whole row.

On the way to a level, the first to go are the smallest of those weights that the level takes. So no weight that an N:M
pattern keeps is ever masked on its way: were the smallest of the row to go, whatever the pattern, a fifth of the
weights left at half (of random ones: each four has 0.375 too many) would go at once where 2:4 sets in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from search.choices import Level


def survivors(w_OM: Tensor, level: Level, sparsity: float | None = None) -> Tensor:
    """A bool mask (O, M) of what stays at `level`, or where only a share of `sparsity` is to be zero on the way there;
    ties go to the first.
    """
    magnitude = w_OM.detach().abs()
    kept = _kept(magnitude, level)
    if sparsity is None:
        return kept
    count = max(int(kept[0].sum()), round((1 - sparsity) * magnitude.shape[1]))
    return _greatest(magnitude.masked_fill(kept, torch.inf), count)


def _kept(magnitude: Tensor, level: Level) -> Tensor:
    rows, columns = magnitude.shape
    if not level.sparsity:
        return torch.ones_like(magnitude, dtype=torch.bool)
    if ":" not in level.pattern:
        return _greatest(magnitude, level.kept(columns))
    n, m = map(int, level.pattern.split(":"))
    padded = torch.nn.functional.pad(magnitude, (0, -columns % m), value=-1.0)
    return _greatest(padded.view(-1, m), n).view(rows, -1)[:, :columns]


def _greatest(magnitude_RM: Tensor, count: int) -> Tensor:
    order = magnitude_RM.argsort(dim=1, descending=True, stable=True)
    mask = torch.zeros_like(magnitude_RM, dtype=torch.bool)
    return mask.scatter_(1, order[:, :count], True)


def kept_levels(w_OM: Tensor, levels: Sequence[Level]) -> Tensor:
    """uint8 (O, M): at how many of `levels`, sparsest last, a weight is kept. Magnitude masks are nested."""
    counts = torch.zeros(w_OM.shape, dtype=torch.uint8)
    for level in levels:
        counts += survivors(w_OM, level).to(torch.uint8)
    return counts
