"""What a finished search is held against: other ways to a network within the same budgets. Torch-free and light, as the
API refuses with it.

A new one takes a module here, a line in `BASELINES` for what it cannot do and what it costs, and a line in
`search.baselines.methods` for what it does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from search.baselines import offered, uniform_int8, uniform_magnitude
from search.points import Point
from search.space import Space

Misfit = Callable[[Space, Sequence[Point]], str | None]  # why it cannot give a network at every point; None: it can
VECTORS, SENSED = 32, 256  # that `hawq` asks, and pictures that it asks about
ROUNDS = 4  # of `lottery-ticket`


def fits(space: Space, points: Sequence[Point]) -> None:
    """Nothing is in the way: what holds for baselines that draw from all architectures."""


class Baseline(NamedTuple):
    """What is known of a baseline before anything is spent.

    `rehearsals` are trainings of `finish.epochs` that it takes until it has its network, `vectors` steps beside them;
    `length` is how long that is trained, in trainings of the job's. `trains`: it makes no sense without training.
    `classifies`: it looks into the head, which has to be a classifier's.
    """

    misfit: Misfit
    rehearsals: int = 0
    vectors: int = 0
    length: int = 1
    trains: bool = False
    classifies: bool = False


BASELINES: dict[str, Baseline] = {
    "random": Baseline(fits),
    "uniform-magnitude": Baseline(uniform_magnitude.misfit),
    "uniform-int8": Baseline(uniform_int8.misfit),
    "hawq": Baseline(offered.no_bits, rehearsals=1, vectors=VECTORS, classifies=True),
    "magnitude-global": Baseline(offered.no_zeros),
    "magnitude-gradient": Baseline(offered.no_zeros, classifies=True),
    "variational-dropout": Baseline(offered.no_zeros, rehearsals=1, trains=True, classifies=True),
    "hard-concrete": Baseline(offered.no_widths, rehearsals=1, trains=True, classifies=True),
    "lottery-ticket": Baseline(offered.no_unstructured_zeros, rehearsals=ROUNDS, trains=True),
    "scratch": Baseline(fits, trains=True),
    "scratch-2x": Baseline(fits, length=2, trains=True),
}


def misfits(names: Iterable[str], space: Space, points: Sequence[Point]) -> Iterator[tuple[int, str]]:
    """The place among `names` of each baseline that cannot apply, and why."""
    for number, name in enumerate(names):
        reason = BASELINES[name].misfit(space, points)
        if reason is not None:
            yield number, f"{name}: {reason}"
