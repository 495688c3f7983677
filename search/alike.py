"""Which of the precisions that are as accurate as each other a search needs. Torch-free.

Trained on, a network in 8 bits loses nothing to the same one in float32 (Krishnamoorthi 2018, sec. 3.2;
docs/decisions/0009-trials.md): floats and 8 bits differ in what they cost alone, and that is known before anything is
trained. Where the budgets hold as large a network in one of them as in any mix, the other is left out: a search would
only have noise to choose it by (docs/decisions/0010-alike-precisions.md).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from latency.operator import Operator
from search.budget import Boundaries, Budget, Indices, Matrix
from search.choices import Precision
from search.costs import macs
from search.derive import Unreachable, solve, worth_of
from search.evidence import MOST_NOTED, Evidence
from search.space import Layer, Space

ERROR = 0.02  # by which a good table errs about networks (README): what a budget larger by so much holds counts too
HARDLY = 1e-3  # of what the choices of a layer are worth apart: who is worth as much may not come first for nothing
LEAST_APART = 0.01  # where they are all worth the same


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
            tuple(map({choice: index for index, choice in enumerate(layer.choices)}.__getitem__, part.choices))
            for layer, part in zip(self.whole.layers, self.space.layers, strict=True)
        )

    @cached_property
    def _own_LK(self) -> tuple[tuple[int, ...], ...]:
        """Which choice of the part each of the whole space is, or the one that is as accurate."""
        return tuple(
            tuple(_owned(layer, part, self.space))
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
            changes = any(own for row in formats_LK for own in row)  # format 0 comes, and is needed after the last
            boundaries = Boundaries(formats_LK, boundaries.costs_LFF) if changes else None
        costs_LK = [[row[index] for index in kept] for row, kept in zip(budget.costs_LK, self._whole_LK, strict=True)]
        return replace(budget, costs_LK=costs_LK, boundaries=boundaries)

    def evidence(self, evidence: Evidence, *, at_last: bool = False) -> Evidence:
        """Evidence over the part, over the whole space: what was left out is worth as much as what is as accurate, but
        for HARDLY, so that it is taken where a device has something of it; `at_last`, where nothing else holds the
        budgets.
        """
        apart_L = [max(row) - min(row) + LEAST_APART for row in evidence.worth]
        behind_L = [sum(apart_L) if at_last else HARDLY * apart for apart in apart_L]
        rows = zip(self.whole.layers, self.space.layers, evidence.worth, self._own_LK, behind_L, strict=True)
        worth_LK = [
            [
                row[index] - (0.0 if part.choices[index] == choice else behind)
                for choice, index in zip(layer.choices, own, strict=True)
            ]
            for layer, part, row, own, behind in rows
        ]
        notes = [evidence.note]
        if self.left_out:  # who asks for another device has to know
            kept = ", ".join(name for name in self.space.choices.precision if not Precision.parse(name).has_few_bits)
            notes.append(f"nothing was scored in {', '.join(self.left_out)}, taken for as accurate as {kept}")
        changes = {"space": self.whole, "worth": worth_LK, "note": "; ".join(filter(None, notes))[:MOST_NOTED]}
        return Evidence.model_validate({**evidence.model_dump(), **changes})

    def distribution(self, found: Mapping[str, list[list[float]]]) -> dict[str, list[list[float]]]:
        """Probabilities by categorical over the part, over the whole space: what is left out has none."""
        offered, names = self.space.choices.precision, self.whole.choices.precision
        rows = [dict(zip(offered, row, strict=True)) for row in found["precision"]]
        return {**found, "precision": [[row.get(name, 0.0) for name in names] for row in rows]}


def needed(space: Space, budgets: Sequence[Budget]) -> Part:
    """The part of `space` that a search under `budgets` needs: without floats, or without 8 bits, where the others hold
    as much, by themselves and beside the precisions of few bits. How much fits is the greatest sum over layers of
    log(1 + multiply-adds that are not by zero), which accuracy grows with; of two that hold as much floats are kept. A
    space where nothing else is to be chosen stays whole.
    """
    alike = sorted((p for p in space.choices.precisions if not p.has_few_bits), reverse=True)  # floats first
    few = [p for p in space.choices.precisions if p.has_few_bits]
    if len(alike) > 1:
        alone = {precision: _fits(space, budgets, [precision]) for precision in alike}
        best = max(alike, key=alone.__getitem__)
        part = _offering(space, [p for p in space.choices.precisions if p == best or p in few])
        wider = [replace(budget, maximum=budget.maximum * (1 + ERROR)) for budget in budgets]
        is_enough = alone[best] > -math.inf and all(
            _fits(space, wider, [best, *others]) >= _fits(space, budgets, [*alike, *others])
            for others in {(), tuple(few)}
        )
        if part.space.size > 1 and is_enough:
            return part
    return Part(space, space)


def _offering(space: Space, precisions: Sequence[Precision]) -> Part:
    names = tuple(precision.name for precision in precisions)
    return Part(space, space.offering(space.choices.model_copy(update={"precision": names})))


def _fits(space: Space, budgets: Sequence[Budget], precisions: Sequence[Precision]) -> float:
    """-inf where nothing does."""
    part = _offering(space, precisions)
    worth_LK: Matrix = [
        [math.log1p(_macs_not_by_zero(layer.operator(choice))) for choice in layer.choices]
        for layer in part.space.layers
    ]
    try:
        return worth_of(worth_LK, solve(worth_LK, [part.budget(budget) for budget in budgets]))
    except Unreachable:
        return -math.inf


def _macs_not_by_zero(operator: Operator) -> float:
    """Those of the depthwise convolution, which stays dense, and of what zeros leave of the others."""
    if not operator.sparsity:
        return macs(operator)
    out_h, out_w = operator.out_hw
    depthwise = out_h * out_w * operator.c_mid * operator.kernel**2
    return depthwise + (1 - operator.sparsity) * (macs(operator) - depthwise)


def _owned(layer: Layer, part: Layer, space: Space) -> Iterator[int]:
    """Of each choice of the whole space's layer, which of the part's it is, or is as accurate as."""
    kept = next((precision for precision in space.choices.precisions if not precision.has_few_bits), None)
    places = {choice: index for index, choice in enumerate(part.choices)}
    for choice in layer.choices:
        yield places[choice if choice in places or kept is None else choice._replace(precision=kept)]
