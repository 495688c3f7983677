"""Linear mode connectivity (Frankle 2020): whether two trained networks lie in one basin.

The barrier is the greatest error on the line between them minus the mean of the ends. instability(k) is the barrier
between two networks that share their first k steps and then see pictures in different orders. It picks the step from
which variants may be trained apart without losing each other.
"""

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search.compression.tickets import reset
from search.compression.training import Recipe, Training, error
from search.datasets.data import ImageData
from search.network import recalibrate
from search.norms import Rounding

POINTS = 30
STABLE = 0.02  # an instability below it counts as none (Frankle 2020, sec. 3)
CALIBRATION = Callable[[], Iterator[Tensor]]


class Line(NamedTuple):
    """Errors at evenly spaced points from one network to the other, the ends among them."""

    errors: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """The greatest error minus the mean of the ends; at least 0 but for a line that sags below its ends."""
        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2


def line(
    first: nn.Module,
    second: nn.Module,
    error_of: Callable[[nn.Module], float],
    *,
    points: int = POINTS,
    calibration: CALIBRATION | None = None,
) -> Line:
    """The errors between two networks of one shape. Statistics of a BatchNorm do not follow from those of the ends:
    where there is any, `calibration` gives the pixels from which they are taken anew at every point; raises ValueError
    without.
    """
    between = copy.deepcopy(first)
    if calibration is None and any(isinstance(m, nn.BatchNorm2d | Rounding) for m in between.modules()):
        raise ValueError("calibration: the networks have running statistics; pass pictures to take them from")
    ends = dict(first.named_parameters()), dict(second.named_parameters())
    errors = []
    for number in range(points):
        with torch.no_grad():
            for name, parameter in between.named_parameters():
                parameter.copy_(torch.lerp(ends[0][name], ends[1][name], number / (points - 1)))
        if calibration is not None:
            recalibrate(between, calibration())
        errors.append(error_of(between))
    return Line(tuple(errors))


class Instability(NamedTuple):
    """`line` between two that part at step k, `control` between two of different first weights: without a control that
    is far from 0, a barrier of 0 shows nothing.
    """

    step: int
    line: Line
    control: Line

    @property
    def is_stable(self) -> bool:
        """Whether the barrier is below 2 %."""
        return self.line.barrier < STABLE


def instability(
    model: nn.Module,
    *,
    data: ImageData,
    recipe: Recipe,
    seed: int,
    step: int,
    points: int = POINTS,
    calibration: CALIBRATION | None = None,
) -> Instability:
    """Trains `model` (copies of it) to `step` with `seed`, and from there to the end in two orders; the control is one
    of these two and a network that is new from the first weight. Three trainings and two lines.
    """
    shared = Training(copy.deepcopy(model), data=data, recipe=recipe, seed=seed)
    shared.run(until=step)
    state, ends = shared.state_dict(), []
    for order in (1, 2):
        branch = Training(copy.deepcopy(model), data=data, recipe=recipe, seed=_seed(seed, order))
        branch.load_state_dict(state)
        branch.run()
        ends.append(branch.model)
    other = copy.deepcopy(model)
    reset(other, _seed(seed, 3))
    Training(other, data=data, recipe=recipe, seed=_seed(seed, 3)).run()

    def to(second: nn.Module) -> Line:
        return line(ends[0], second, lambda m: error(m, data), points=points, calibration=calibration)

    return Instability(step, to(ends[1]), to(other))


def _seed(seed: int, branch: int) -> int:
    """Seeds of branches: as far apart as those of users are not."""
    return seed + branch * 1_000_003
