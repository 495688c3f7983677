"""A budget over the choices of all layers, what an architecture takes of it, and how far it reaches. Torch-free."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Matrix = Sequence[Sequence[float]]
Formats = Sequence[Sequence[int | None]]
Indices = tuple[int, ...]


@dataclass(frozen=True)
class Budget:
    """At most `maximum`, in one unit.

    `sum`:   fixed + sum costs_LK[l][choice] + sum boundary_FF[format before][format after]; the formats before the
             first layer and behind the last are 0. A boundary of one format means that no change costs anything.
    `peak`:  max(fixed, the greatest costs_LK[l][choice]), as the memory of activations.
    """

    name: str
    costs_LK: Matrix
    fixed: float
    maximum: float
    boundary_FF: Matrix = ((0.0,),)
    kind: Literal["sum", "peak"] = "sum"

    def __post_init__(self) -> None:
        if any(row[own] for own, row in enumerate(self.boundary_FF)):
            raise ValueError(f"{self.name}: to stay in a format costs nothing, so the diagonal of boundary_FF is 0")
        if self.kind == "peak" and self.formats > 1:
            raise ValueError(f"{self.name}: a peak has no cost between layers")

    @property
    def formats(self) -> int:
        """How many formats its boundary knows."""
        return len(self.boundary_FF)

    def boundary(self, before: int, after: int) -> float:
        """Cost of a change of format."""
        return self.boundary_FF[before][after] if len(self.boundary_FF) > 1 else 0.0

    def total(self, indices: Sequence[int], formats_LK: Formats | None = None) -> float:
        """What the architecture with these choices costs; sums are rounded once, so that order does not matter."""
        own = [self.costs_LK[layer][index] for layer, index in enumerate(indices)]
        if self.kind == "peak":
            return max(self.fixed, *own)
        return math.fsum([self.fixed, *own, *self._boundaries(indices, formats_LK)])

    def _boundaries(self, indices: Sequence[int], formats_LK: Formats | None) -> list[float]:
        if formats_LK is None or self.formats == 1:
            return []
        found, current = [], 0
        for layer, index in enumerate(indices):
            after = formats_LK[layer][index]
            if after is not None:
                found.append(self.boundary(current, after))
                current = after
        return [*found, self.boundary(current, 0)]


def worth_of(worth_LK: Matrix, indices: Indices) -> float:
    """Summed worth of an architecture."""
    return math.fsum(row[index] for row, index in zip(worth_LK, indices, strict=True))


class Reach(NamedTuple):
    """Least and greatest total of one budget over all architectures."""

    least: float
    greatest: float


class _Path(NamedTuple):
    """The best way to a format, so far."""

    cost: float
    indices: Indices


def reach(budget: Budget, formats_LK: Formats | None = None) -> Reach:
    """Least and greatest total of a budget, each that of an architecture: shortest and longest path over formats."""
    if budget.formats == 1 or formats_LK is None:
        cheapest = [min(range(len(row)), key=row.__getitem__) for row in budget.costs_LK]
        dearest = [max(range(len(row)), key=row.__getitem__) for row in budget.costs_LK]
        return Reach(budget.total(cheapest), budget.total(dearest))
    return Reach(*(budget.total(_path(budget, formats_LK, sign), formats_LK) for sign in (1.0, -1.0)))


def _path(budget: Budget, formats_LK: Formats, sign: float) -> Indices:
    best: dict[int, _Path] = {0: _Path(0.0, ())}
    for row, formats in zip(budget.costs_LK, formats_LK, strict=True):
        arrived: dict[int, _Path] = {}
        for before, path in best.items():
            for index, (cost, own) in enumerate(zip(row, formats, strict=True)):
                after = before if own is None else own
                way = path.cost + sign * (cost + budget.boundary(before, after))
                if after not in arrived or way < arrived[after].cost:
                    arrived[after] = _Path(way, (*path.indices, index))
        best = arrived
    return min(best.items(), key=lambda item: item[1].cost + sign * budget.boundary(item[0], 0))[1].indices
