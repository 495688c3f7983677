"""What a warm start is given, and what it is."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from search.batches import Batches, calibration
from search.budget import Indices
from search.compression.training import Recipe
from search.datasets.data import ImageData
from search.network import Network, recalibrate
from search.reports import StepReport
from search.spec import Search
from search.state import State
from search.supernet.network import Supernet
from search.supernet.theta import Theta
from search.task import Task
from search.unrounded import float_copy
from search.warm_starts import PICTURES, epochs

PHASE = "warm-start"


class Situation(NamedTuple):
    """A supernet after its warm-up. `data` and `batches` are what its weights are trained on; `paths` is what weight
    steps draw from (search.objective).
    """

    supernet: Supernet
    paths: Theta
    data: ImageData
    batches: Batches
    settings: Search
    seed: int
    task: Task

    def largest(self) -> Indices:
        """The choices of the largest path."""
        theta = self.supernet.theta
        return tuple(theta.per_choice(theta.largest()).argmax(1).tolist())

    def floats(self) -> Network:
        """The largest path in fp32 and dense, with copies of the supernet's weights and statistics of its own."""
        network = float_copy(self.supernet.inherit(self.largest()), self.task.head, dense=True)
        recalibrate(network, calibration(self.batches.x_NCHW[self.batches.order(0)[:PICTURES]]))
        return network

    def adam(self, rate: float) -> Recipe:
        """Adam at `rate`, as long as the warm-up."""
        return Recipe(epochs(self.settings), self.settings.batch_size, lr=rate, optimizer="adam")


class WarmStart(Protocol):
    """An iterator of step reports of phase `warm-start`, and `state_dict()` between any two."""

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises FloatingPointError."""

    def start(self) -> None:
        """Sets the logits of theta, once that is done."""

    @property
    def steps_left(self) -> int:
        """Reports that remain."""

    def state_dict(self) -> State:
        """All that the remaining steps depend on, beside the supernet."""

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit; the supernet is the same by then."""
