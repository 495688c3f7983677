"""Which of the precisions that are as accurate as each other a search needs. Torch-free.

Trained on, a network in 8 bits loses nothing to the same one in float32 (Krishnamoorthi 2018, sec. 3.2;
docs/decisions/0009-trials.md): floats and 8 bits differ in what they cost alone, and that is known before anything is
trained. Where the budgets hold as large a network in one of them as in any mix, the other is left out: a search would
only have noise to choose it by (docs/decisions/0010-alike-precisions.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from search.budget import Boundaries, Budget, Indices, Matrix
from search.choices import Choice, Precision
from search.costs import macs
from search.derive import Unreachable, solve, worth_of
from search.evidence import Evidence
from search.space import Layer, Space

ERROR = 0.02  # by which a good table errs about networks (README): what a budget larger by so much holds counts too


class Part:
    """A `space` that offers some of the precisions of the `whole` one; indices and matrices of one for the other."""

    def __init__(self, whole: Space, space: Space) -> None:
        self.whole, self.space = whole, space

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the precisions that only the whole space offers."""
        return tuple(name for name in self.whole.choices.precision if name not in self.space.choices.precision)

    @cached_property
    def _whole_LK(self) -> tuple[tuple[int, ...], ...]:
        """Which choice of the whole space each of the part is."""
        return tuple(
            tuple(map(layer.choices.index, part.choices))
            for layer, part in zip(self.whole.layers, self.space.layers, strict=True)
        )

    @cached_property
    def _own_LK(self) -> tuple[tuple[int, ...], ...]:
        """Which choice of the part each of the whole space is, or the one that is as accurate."""
        return tuple(
            tuple(_own(part, choice, self.space) for choice in layer.choices)
            for layer, part in zip(self.whole.layers, self.space.layers, strict=True)
        )

    def of_whole(self, indices: Sequence[int]) -> Indices:
        """The architecture of the part with these choices, in the whole space."""
        return tuple(row[index] for row, index in zip(self._whole_LK, indices, strict=True))

    def own(self, indices: Sequence[int]) -> Indices:
        """The architecture of the whole space with these choices, or one as accurate, in the part."""
        return tuple(row[index] for row, index in zip(self._own_LK, indices, strict=True))

    def budget(self, budget: Budget) -> Budget:
        """A budget over the whole space, over the part."""
        boundaries = budget.boundaries
        if boundaries is not None:
            formats_LK = [
                [row[index] for index in kept] for row, kept in zip(boundaries.formats_LK, self._whole_LK, strict=True)
            ]
            changes = any(own for row in formats_LK for own in row)  # format 0 comes, and is needed behind the last
            boundaries = Boundaries(formats_LK, boundaries.costs_LFF) if changes else None
        costs_LK = [[row[index] for index in kept] for row, kept in zip(budget.costs_LK, self._whole_LK, strict=True)]
        return replace(budget, costs_LK=costs_LK, boundaries=boundaries)

    def evidence(self, evidence: Evidence) -> Evidence:
        """Evidence over the part, over the whole space: what is as accurate is worth the same, whatever device asks."""
        worth_LK = [[row[index] for index in own] for row, own in zip(evidence.worth, self._own_LK, strict=True)]
        return evidence.model_copy(update={"space": self.whole, "worth": tuple(map(tuple, worth_LK))})

    def distribution(self, found: Mapping[str, list[list[float]]]) -> dict[str, list[list[float]]]:
        """Probabilities by categorical over the part, over the whole space: what is left out has none."""
        offered, names = self.space.choices.precision, self.whole.choices.precision
        rows = [dict(zip(offered, row, strict=True)) for row in found["precision"]]
        return {**found, "precision": [[row.get(name, 0.0) for name in names] for row in rows]}


def needed(space: Space, budgets: Sequence[Budget]) -> Part:
    """The part of `space` that a search under `budgets` needs: without floats, or without 8 bits, where the others hold
    as much. How much fits is the greatest sum over layers of log(1 + multiply-adds), of networks of that kind of bits
    alone, as accuracy grows with them; of two that hold as much floats are kept. A space where nothing else is to be
    chosen stays whole.
    """
    alike = sorted((p for p in space.choices.precisions if not p.has_few_bits), reverse=True)  # floats first
    if len(alike) > 1 and (most := _fits(space, budgets, alike)) > -math.inf:
        best = max(alike, key=lambda precision: _fits(space, budgets, [precision]))
        wider = [replace(budget, maximum=budget.maximum * (1 + ERROR)) for budget in budgets]
        part = _offering(space, [p for p in space.choices.precisions if p == best or p.has_few_bits])
        if part.space.size > 1 and _fits(space, wider, [best]) >= most:
            return part
    return Part(space, space)


def _offering(space: Space, precisions: Sequence[Precision]) -> Part:
    names = tuple(precision.name for precision in precisions)
    return Part(space, space.offering(space.choices.model_copy(update={"precision": names})))


def _fits(space: Space, budgets: Sequence[Budget], precisions: Sequence[Precision]) -> float:
    """-inf where nothing does."""
    part = _offering(space, precisions)
    worth_LK: Matrix = [
        [math.log1p(macs(layer.operator(choice))) for choice in layer.choices] for layer in part.space.layers
    ]
    try:
        return worth_of(worth_LK, solve(worth_LK, [part.budget(budget) for budget in budgets]))
    except Unreachable:
        return -math.inf


def _own(part: Layer, choice: Choice, space: Space) -> int:
    if choice in part.choices:
        return part.choices.index(choice)
    (kept,) = (precision for precision in space.choices.precisions if not precision.has_few_bits)
    return part.choices.index(choice._replace(precision=kept))
