"""What a baseline is given at one operating point, and what those are that first have to learn their network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from search.batches import harmless_shift
from search.budget import Budget, Indices
from search.compression.training import Recipe
from search.datasets.data import ImageData
from search.evidence import Evidence
from search.network import Network
from search.spec import Finish
from search.state import State
from search.task import Task
from search.unrounded import float_copy


class Learnt(NamedTuple):
    """What a finished search has: the worth of every choice, and the same with what was left out behind all else;
    networks of one choice a layer: with the weights that the job's training starts from (the seed is for new ones),
    with those that the search learnt, with new ones.
    """

    evidence: Evidence
    evidence_of_own: Evidence
    start: Callable[[Indices, int], Network]
    inherit: Callable[[Indices], Network]
    scratch: Callable[[Indices, int], Network]


class Setting(NamedTuple):
    """One point and seed. `indices` are what the search itself has there, within `budgets`."""

    learnt: Learnt
    indices: Indices
    budgets: Sequence[Budget]
    seed: int
    data: ImageData
    finish: Finish
    task: Task

    def floats(self, indices: Indices) -> Network:
        """In fp32 and dense, with what the search learnt."""
        return float_copy(self.learnt.inherit(indices), self.task.head, dense=True)

    @property
    def rehearsal(self) -> Finish:
        """As long as the finish, with nothing else that it may ask for."""
        finish = self.finish
        return Finish(epochs=finish.epochs, batch_size=finish.batch_size, lr=finish.lr)

    def adam(self, rate: float) -> Recipe:
        """Adam at `rate`, as long and with as large batches as the finish, and its shifts of pictures."""
        finish, shift = self.finish, harmless_shift(self.data.input)
        return Recipe(finish.epochs, finish.batch_size, lr=rate, optimizer="adam", shift=shift)


Method = Callable[[Setting], Network]  # within the budgets, near them


class Proposal(Protocol):
    """Learns a network: an iterator of what reports tell, and `state_dict()` between any two."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Does what remains."""

    def network(self) -> Network:
        """Within the budgets, once that is done."""

    def state_dict(self) -> State:
        """All that the remaining steps depend on."""

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
