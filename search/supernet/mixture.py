"""What a step's shares of precision and sparsity mean for the tensors of a layer."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search.choices import FP32, Precision
from search.kernels import rounded_rows

INTEGER_BITS = (8,)


class Mixture(NamedTuple):
    """Bits of the grids that have a share, and shares with float first. `integer_share` () is that of precisions whose
    blocks compute integers; None where none of them has a share.
    """

    weight_bits: tuple[int, ...]
    weight_shares: Tensor
    activation_bits: tuple[int, ...]
    activation_shares: Tensor
    level_shares: Tensor
    integer_share: Tensor | None


def mixture(precisions: Sequence[Precision], p_P: Tensor, p_S: Tensor) -> Mixture:
    """Collects the precisions that have a share into one share for each grid."""
    if [*precisions] == [FP32]:
        return Mixture((), p_P, (), p_P, p_S, None)
    present = [number for number, share in enumerate(p_P.tolist()) if share > 0]

    def collected(side: int) -> tuple[tuple[int, ...], Tensor]:
        bits = tuple(sorted({precisions[n][side] for n in present} - {32}))
        onto = torch.tensor([[float(precisions[n][side] == b) for b in (32, *bits)] for n in present])
        return bits, p_P[present] @ onto

    integer = [n for n in present if precisions[n].is_integer]
    return Mixture(*collected(0), *collected(1), p_S, p_P[integer].sum() if integer else None)


def integer_shares(of: Tensor, mix: Mixture) -> Tensor:
    """(2,) how much of a tensor with share `of` stays float, and how much integer blocks round to 8 bits."""
    assert mix.integer_share is not None
    return torch.stack([of * (1.0 - mix.integer_share), of * mix.integer_share])


def kept(mix: Mixture) -> Tensor:
    """(1 + S,) how much of a weight stays by the number of levels that keep it."""
    return torch.cat([torch.zeros(1), mix.level_shares.cumsum(0)])


def mixed_grids(weight: Tensor, mix: Mixture) -> Tensor:
    """A small weight over the grids of a mixture, scaled per output channel, never sparse."""
    if not mix.weight_bits:
        return weight
    out = mix.weight_shares[0] * weight
    for share, bits in zip(mix.weight_shares[1:], mix.weight_bits, strict=True):
        out = out + share * rounded_rows(weight.flatten(1), bits).view_as(weight)
    return out
