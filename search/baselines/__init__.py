"""What a finished search is held against: other ways to a network within the same budgets. Torch-free and light, as the
API refuses with it.

A new one takes a module here, a line in `BASELINES` for what it cannot do, and a line in `search.baselines.methods` for
what it does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from search.baselines import uniform_int8, uniform_magnitude
from search.points import Point
from search.space import Space

Misfit = Callable[[Space, Sequence[Point]], str | None]  # why it cannot give a network at every point; None: it can


def fits(space: Space, points: Sequence[Point]) -> None:
    """Nothing is in the way: what holds for baselines that draw from all architectures."""


BASELINES: dict[str, Misfit] = {
    "random": fits,
    "uniform-magnitude": uniform_magnitude.misfit,
    "uniform-int8": uniform_int8.misfit,
}


def misfits(names: Iterable[str], space: Space, points: Sequence[Point]) -> Iterator[tuple[int, str]]:
    """The place among `names` of each baseline that cannot apply, and why."""
    for number, name in enumerate(names):
        reason = BASELINES[name](space, points)
        if reason is not None:
            yield number, f"{name}: {reason}"
