"""Which weights stay when a share of them becomes zero: the greatest magnitudes of each output channel.

Row by row, so that the mask of a narrower layer needs nothing of the wider one it was cut from. N:M keeps the N
greatest of every M neighbours along a row (Mishra 2021); `unstructured` the greatest of the whole row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from search.choices import Level


def survivors(w_OM: Tensor, level: Level) -> Tensor:
    """A bool mask (O, M) of what stays at `level`; ties go to the first."""
    magnitude = w_OM.detach().abs()
    rows, columns = magnitude.shape
    if not level.sparsity:
        return torch.ones_like(magnitude, dtype=torch.bool)
    if ":" not in level.pattern:
        return _greatest(magnitude, round((1 - level.sparsity) * columns))
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
