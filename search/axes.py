"""The categoricals of a space: block, precision, level. Choices of a layer are their product. Torch-free.

Legend: L layers, K blocks, P precisions, S levels of zeros.
"""

from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from search.space import Layer, Space

Value = TypeVar("Value")
NOWHERE = -1


class PerAxis(NamedTuple, Generic[Value]):
    """One value for each categorical."""

    block: Value
    precision: Value
    level: Value


class Axes:
    """How choices of a space's layers fall apart into categoricals."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.precisions = space.choices.precisions
        self.levels = tuple(sorted(space.choices.levels, key=lambda level: level.sparsity))
        self.sizes = PerAxis(max(len(layer.blocks) for layer in space.layers), len(self.precisions), len(self.levels))

    @cached_property
    def largeness(self) -> PerAxis[np.ndarray]:
        """Of each option of each layer how much it can express, to be compared within its categorical, (L, options):
        blocks by middle channels, then kernel, then how few groups; precisions by bits; levels by how little is zero.
        """
        block = np.full((len(self.space.layers), self.sizes.block), -1.0)
        for layer in self.space.layers:
            for k, found in enumerate(layer.blocks):
                kernel, _, groups = found.candidate
                block[layer.number, k] = 1000 * found.c_mid + 10 * kernel - groups
        precision = np.array(
            [100.0 * weight_bits + activation_bits for weight_bits, activation_bits in self.precisions]
        )
        level = np.array([1.0 - level.sparsity for level in self.levels])
        return PerAxis(block, *(np.tile(row, (len(block), 1)) for row in (precision, level)))

    @cached_property
    def available_LK(self) -> np.ndarray:
        """Whether layer l has a block k."""
        return np.array([[k < len(layer.blocks) for k in range(self.sizes.block)] for layer in self.space.layers])

    @cached_property
    def index_LKPS(self) -> np.ndarray:
        """The choice of each combination; where an axis does not apply to a block, the same choice all along it."""
        found = np.full((len(self.space.layers), *self.sizes), NOWHERE)
        for layer in self.space.layers:
            for index, (k, p, s) in enumerate(self._places(layer)):
                found[layer.number, k, p, s] = index
        return found

    def _places(self, layer: Layer) -> list[tuple[int, int | slice, int | slice]]:
        places = []
        for choice in layer.choices:
            is_skip = not choice.candidate.kernel
            p = slice(None) if is_skip and layer.keeps_shape else self.precisions.index(choice.precision)
            s = slice(None) if is_skip else self.levels.index(choice.level)
            places.append((layer.blocks.index(choice.block), p, s))
        return places

    def per_choice(self, logs: PerAxis[np.ndarray]) -> list[list[float]]:
        """Sums logs (L, K), (L, P), (L, S) for each choice of each layer; an axis that does not apply counts at its
        best, so that a block which chooses less has no advantage of it.
        """
        total_LKPS = logs.block[:, :, None, None] + logs.precision[:, None, :, None] + logs.level[:, None, None, :]
        rows = []
        for layer in self.space.layers:
            index, total = self.index_LKPS[layer.number], total_LKPS[layer.number]
            rows.append([float(total[index == number].max()) for number in range(len(layer.choices))])
        return rows

    def spread(self, values_LK: list[list[float]]) -> np.ndarray:
        """A value of each choice, as (L, K, P, S) with 0 where there is none."""
        rows = []
        for values, index in zip(values_LK, self.index_LKPS, strict=True):
            rows.append(np.where(index == NOWHERE, 0.0, np.asarray(values)[index]))
        return np.stack(rows)
