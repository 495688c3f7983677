"""Gradual magnitude pruning (Zhu & Gupta 2017, "To prune, or not to prune"): zeros come in while a network trains.

At each pruning the smallest magnitudes of that moment go, whatever was masked before: masked weights keep their value
and may come back.

Legend: R rows within which magnitudes are compared, M weights of a row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from search.choices import Level
from search.sparsity import survivors


def sparsity_at(step: int, *, final: float, begin: int, end: int, every: int = 1, initial: float = 0.0) -> float:
    """The share of zeros in step `step`: s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 (Zhu & Gupta, eq. 1) with a
    pruning at `begin`, then one `every` so many steps, the last at `end`; between two of them it stands.
    """
    if step >= end:
        return final
    if step < begin:
        return initial
    pruned = (step - begin) // every * every
    return final + (initial - final) * (1 - pruned / (end - begin)) ** 3


class Ramp(NamedTuple):
    """From dense to the last share of zeros: steps of the first and the last pruning, and how many lie between two."""

    begin: int
    end: int
    every: int

    def is_due(self, step: int) -> bool:
        """Whether masks change in front of `step`; in front of the first they become dense."""
        return step in (0, self.end) or (self.begin <= step < self.end and (step - self.begin) % self.every == 0)

    def sparsity(self, step: int, final: float) -> float:
        """The share of zeros in step `step` of what ends at `final`."""
        return sparsity_at(step, final=final, begin=self.begin, end=self.end, every=self.every)


class Masked(NamedTuple):
    """A weight (R, M) and its mask, true where it stays, both views of what a module multiplies; and the level that
    they end at.
    """

    weight_RM: Tensor
    mask_RM: Tensor
    level: Level

    def prune(self, sparsity: float) -> None:
        """Masks anew by today's magnitudes, on the way to the level."""
        self.mask_RM.copy_(survivors(self.weight_RM, self.level, sparsity))


class Gradual:
    """Prunes `parts` along `ramp`. It has no state: masks belong to the modules, and the step tells the rest."""

    def __init__(self, parts: Sequence[Masked], ramp: Ramp) -> None:
        self.parts, self.ramp = tuple(parts), ramp

    def before_step(self, step: int) -> None:
        """Prunes where a pruning is due."""
        if self.ramp.is_due(step):
            for part in self.parts:
                part.prune(self.ramp.sparsity(step, part.level.sparsity))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within it an optimiser's step leaves masked weights as they are: weight decay would wear them down, momentum
        carry them on.
        """
        kept = [part.weight_RM.clone() for part in self.parts]
        yield
        for part, weight_RM in zip(self.parts, kept, strict=True):
            part.weight_RM.copy_(torch.where(part.mask_RM, part.weight_RM, weight_RM))


class _Mask(nn.Module):
    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def mask_layer(layer: nn.Linear | nn.Conv2d, level: Level) -> Masked:
    """Puts a mask, all true, after the weight of a plain layer. Of an unstructured level R is 1: all compare."""
    mask = _Mask(layer.weight)
    weight = layer.weight.detach()
    parametrize.register_parametrization(layer, "weight", mask)
    rows = len(weight) if ":" in level.pattern else 1
    return Masked(weight.view(rows, -1), mask.mask.view(rows, -1), level)
