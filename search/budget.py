"""A budget over the choices of all layers, what an architecture takes of it, and how far it reaches. Torch-free."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Literal, NamedTuple

Matrix = Sequence[Sequence[float]]
Formats = Sequence[Sequence[int | None]]
Indices = tuple[int, ...]
LEAST_MAXIMUM = 1e-300
NEAR = 0.95  # who spends this share of a budget is near it


class TooHard(RuntimeError):
    """What is best could not be proven in the time there was: many budgets at once make a hard problem."""


_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Whatever is derived inside, all together, is given so long; then TooHard is raised. Elsewhere there is no limit:
    what a search learnt in hours is worth waiting for.
    """
    before = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(before)


def seconds_left() -> float:
    """Until the time is over that `within` gave; infinite outside."""
    return _deadline.get() - time.monotonic()


@dataclass(frozen=True)
class Boundaries:
    """What changes of format cost. Format 0 comes to the first layer and is needed after the last one.

    `formats_LK[l][choice]` is the format that a choice needs and gives; None passes on what comes, as an identity does.
    `costs_LFF[l][before][after]` is paid where format `before` comes to a choice of format `after` at layer l; one
    more after the last layer. To stay in a format costs nothing.
    """

    formats_LK: Formats
    costs_LFF: Sequence[Matrix]

    def __post_init__(self) -> None:
        if len(self.costs_LFF) != len(self.formats_LK) + 1:
            raise ValueError(f"{len(self.costs_LFF)} boundaries for {len(self.formats_LK)} layers: one more is needed")
        if any(len(row) != self.formats for costs_FF in self.costs_LFF for row in (costs_FF, *costs_FF)):
            raise ValueError(f"costs_LFF is not {self.formats} times {self.formats} everywhere")
        if any(own is not None and not 0 <= own < self.formats for row in self.formats_LK for own in row):
            raise ValueError(f"formats_LK has a format that is none of the {self.formats} that costs_LFF knows")
        if any(row[own] for costs_FF in self.costs_LFF for own, row in enumerate(costs_FF)):
            raise ValueError("to stay in a format costs nothing, so the diagonals of costs_LFF are 0")

    @property
    def formats(self) -> int:
        """How many formats there are."""
        return len(self.costs_LFF[0])

    def paid(self, indices: Sequence[int]) -> list[float]:
        """What the architecture with these choices pays before each layer and after the last one."""
        found, current = [], 0
        for layer, index in enumerate(indices):
            own = self.formats_LK[layer][index]
            after = current if own is None else own
            found.append(self.costs_LFF[layer][current][after])
            current = after
        return [*found, self.costs_LFF[-1][current][0]]


@dataclass(frozen=True)
class Budget:
    """At most `maximum`, in one unit.

    `sum`:   fixed + sum costs_LK[l][choice] + what `boundaries` are paid; None: no change of format costs anything.
    `peak`:  max(fixed, the greatest costs_LK[l][choice], the greatest change), as the memory of activations.

    Raises ValueError on a maximum of 0 or no number.
    """

    name: str
    costs_LK: Matrix
    fixed: float
    maximum: float
    kind: Literal["sum", "peak"] = "sum"
    boundaries: Boundaries | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.maximum) or 0 <= self.maximum < LEAST_MAXIMUM:  # costs are taken as shares of it
            raise ValueError(f"{self.name}: a maximum of {self.maximum} is none: give one above 0")
        if self.boundaries is None:
            return
        if [len(row) for row in self.boundaries.formats_LK] != [len(row) for row in self.costs_LK]:
            raise ValueError(f"{self.name}: formats_LK and costs_LK are not of the same choices")

    def total(self, indices: Sequence[int]) -> float:
        """What the architecture with these choices costs; sums are rounded once, so that order does not matter."""
        own = [self.costs_LK[layer][index] for layer, index in enumerate(indices)]
        paid = () if self.boundaries is None else self.boundaries.paid(indices)
        return max(self.fixed, *own, *paid) if self.kind == "peak" else math.fsum([self.fixed, *own, *paid])


def common_boundaries(budgets: Iterable[Budget]) -> Boundaries | None:
    """Boundaries of one of `budgets`, with the formats of all that have any. Raises ValueError where they differ."""
    having = [(budget.name, budget.boundaries) for budget in budgets if budget.boundaries is not None]
    for name, boundaries in having[1:]:
        if _formats(boundaries) != _formats(having[0][1]):
            raise ValueError(f"{having[0][0]} and {name} give the choices different formats")
    return having[0][1] if having else None


def _formats(boundaries: Boundaries) -> tuple[int, list[list[int | None]]]:
    return boundaries.formats, [list(row) for row in boundaries.formats_LK]


def worth_of(worth_LK: Matrix, indices: Indices) -> float:
    """Summed worth of an architecture."""
    return math.fsum(row[index] for row, index in zip(worth_LK, indices, strict=True))


class Reach(NamedTuple):
    """Least and greatest total of one budget over all architectures."""

    least: float
    greatest: float

    def __str__(self) -> str:
        """`130.25 to 411.9`, such that both can be asked for as they are told."""
        least, greatest = _told(self.least, ROUND_CEILING), _told(self.greatest, ROUND_FLOOR)
        return f"{least} to {max(least, greatest, key=float)}"  # what holds all alike may lie between two that are told

    @property
    def told_least(self) -> str:
        """The least, such that it can be asked for as it is told."""
        return _told(self.least, ROUND_CEILING)


def _told(value: float, rounding: str) -> str:
    """Whole numbers in full, others with six digits."""
    if not math.isfinite(value) or value == int(value):
        return f"{value:.0f}"
    return f"{Context(prec=6, rounding=rounding).create_decimal(repr(value)).normalize():f}"


Join = Callable[[Iterable[float]], float]
Better = Callable[..., float]  # min or max


class _Path(NamedTuple):
    """The best way to a format, so far."""

    cost: float
    indices: Indices


def reach(budget: Budget) -> Reach:
    """Least and greatest total of a budget, each that of an architecture: shortest and longest path over formats."""
    if budget.boundaries is None:
        cheapest = [min(range(len(row)), key=row.__getitem__) for row in budget.costs_LK]
        dearest = [max(range(len(row)), key=row.__getitem__) for row in budget.costs_LK]
        return Reach(budget.total(cheapest), budget.total(dearest))
    join = max if budget.kind == "peak" else sum
    least = _path(budget.costs_LK, budget.boundaries, join, min)
    greatest = _path(budget.costs_LK, budget.boundaries, join, max)
    return Reach(budget.total(least), budget.total(greatest))


def binding(budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """Those that some architecture exceeds."""
    return tuple(budget for budget in budgets if budget.maximum < reach(budget).greatest)


def spent(indices: Indices, budgets: Sequence[Budget]) -> float:
    """The greatest share of a maximum that an architecture takes, among the budgets that bind; 1 where none does."""
    return max((budget.total(indices) / budget.maximum for budget in binding(budgets)), default=1.0)


def _path(costs_LK: Matrix, boundaries: Boundaries, join: Join, better: Better) -> Indices:
    """The architecture of the least or greatest cost, whose parts are summed, or the greatest of them."""
    best: dict[int, _Path] = {0: _Path(0.0, ())}
    *costs_LFF, last_FF = boundaries.costs_LFF
    for row, formats, costs_FF in zip(costs_LK, boundaries.formats_LK, costs_LFF, strict=True):
        arrived: dict[int, _Path] = {}
        for before, path in best.items():
            for index, (cost, own) in enumerate(zip(row, formats, strict=True)):
                after = before if own is None else own
                way = join((path.cost, cost, costs_FF[before][after]))
                if after not in arrived or better(way, arrived[after].cost) != arrived[after].cost:
                    arrived[after] = _Path(way, (*path.indices, index))
        best = arrived
    ends = [_Path(join((path.cost, last_FF[format_][0])), path.indices) for format_, path in best.items()]
    wanted = better(path.cost for path in ends)
    return next(path.indices for path in ends if path.cost == wanted)
