"""How a job comes from a space to the one architecture that is trained: what every way to it has in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from search.budget import Indices
from search.evidence import Evidence
from search.network import Network
from search.reports import StepReport
from search.state import State


class Strategy(Protocol):
    """An iterator of step reports until one architecture is chosen; `state_dict()` between any two. After that, all
    that the rest of a job needs of it is what it `learnt`: the weights that networks inherit.
    """

    @property
    def evidence(self) -> Evidence | None:
        """The worth of every choice; None before it is known."""

    @property
    def evidence_of_own(self) -> Evidence | None:
        """By which networks are chosen that stand for it in a comparison: of what it chose among."""

    @property
    def steps(self) -> int:
        """Steps of its training."""

    @property
    def steps_left(self) -> dict[str, int]:
        """Steps that remain of each of its phases; those of another strategy are not named."""

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises OverBudget, Unreachable, FloatingPointError."""

    def best(self) -> Indices:
        """What it chose."""

    def inherit(self, indices: Indices) -> Network:
        """The network of one choice a layer with the weights that were learnt."""

    def notes(self) -> tuple[str, ...]:
        """Sentences for the report on what it did."""

    def write(self, folder: Path) -> list[Path]:
        """The files that later jobs may start from."""

    def state_dict(self) -> State:
        """All that the remaining steps depend on."""

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""

    def learnt(self) -> State:
        """What remains of it once it chose."""

    def load_learnt(self, state: State) -> None:
        """Is done, as where `learnt` was taken."""
