"""What a space has to offer for a baseline that only moves bits, zeros or widths of the blocks that a search found; and
the worth by which it does. Torch-free.
"""

import math
from collections.abc import Callable, Sequence

from search.budget import Matrix
from search.choices import Choice
from search.points import Point
from search.space import Layer, Space

Frees = Callable[[Choice, Choice], bool]  # of what a layer has, and of another choice: whether a baseline may take that


def bits(own: Choice, other: Choice) -> bool:
    """The same block and zeros, at any precision."""
    return (own.block, own.level) == (other.block, other.level)


def zeros(own: Choice, other: Choice) -> bool:
    """The same block and precision, at any level of zeros."""
    return (own.block, own.precision) == (other.block, other.precision)


def widths(own: Choice, other: Choice) -> bool:
    """The same kernel, groups, precision and zeros, at any width."""
    kernel, _, groups = own.candidate
    same = (other.candidate.kernel, other.candidate.groups) == (kernel, groups)
    return same and (own.precision, own.level) == (other.precision, other.level)


def worth_of_free(
    space: Space, indices: Sequence[int], frees: Frees, worth: Callable[[Layer, Choice], float]
) -> Matrix:
    """`worth` of what `frees` leaves free beside the choices of `indices`; -inf forbids the others."""
    return [
        [worth(layer, c) if frees(layer.choices[index], c) else -math.inf for c in layer.choices]
        for layer, index in zip(space.layers, indices, strict=True)
    ]


def no_bits(space: Space, points: Sequence[Point]) -> str | None:
    """Why there is no precision to choose."""
    if len(space.choices.precisions) > 1:
        return None
    return f"{space.name} offers one precision alone, so bits are no choice: add another to choices.precision"


def no_zeros(space: Space, points: Sequence[Point]) -> str | None:
    """Why there is no level of zeros to choose."""
    if len(space.choices.levels) > 1:
        return None
    return f"{space.name} offers one level of zeros alone: add others to choices.sparsity"


def no_unstructured_zeros(space: Space, points: Sequence[Point]) -> str | None:
    """Why weights cannot be masked one by one."""
    if any(level.pattern == "unstructured" for level in space.choices.levels):
        return None
    return f"{space.name} offers no unstructured zeros, and a ticket is a mask of single weights: add choices.sparsity"


def no_widths(space: Space, points: Sequence[Point]) -> str | None:
    """Why there is no width to choose."""
    for layer in space.layers:
        kinds = [b.candidate.kernel for b in layer.blocks if b.candidate.kernel and b.candidate.groups == 1]
        if len(set(kinds)) < len(kinds):
            return None
    return f"no layer of {space.name} offers one kernel at several widths: add factors to choices.width"
