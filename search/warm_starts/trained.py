"""A warm start that trains the largest path anew: its iterator and state."""

from collections.abc import Iterator
from dataclasses import replace

from search.learnt_widths import LearntWidths
from search.learnt_zeros import LearntZeros
from search.reports import StepReport
from search.state import State
from search.warm_starts.situation import PHASE


class Trained:
    """All of `search.warm_starts.situation.WarmStart` but `start`."""

    learnt: LearntZeros | LearntWidths

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps of the training."""
        for report in self.learnt:
            yield replace(report, phase=PHASE)

    @property
    def steps_left(self) -> int:
        """Of the training."""
        return self.learnt.training.steps - self.learnt.training.step

    def state_dict(self) -> State:
        """Of what is learnt."""
        return self.learnt.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.learnt.load_state_dict(state)
