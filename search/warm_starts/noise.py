"""Levels of zeros start from what variational dropout proposes for the largest path (search.learnt_zeros)."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from search.learnt_zeros import RATE, LearntZeros
from search.reports import StepReport
from search.state import State
from search.warm_starts.scale import logits_of
from search.warm_starts.situation import PHASE, Situation


class Noise:
    """See `search.warm_starts.situation.WarmStart`."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.learnt = LearntZeros(
            situation.floats(), data=situation.data, recipe=situation.adam(RATE), seed=situation.seed
        )

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps of the training."""
        for report in self.learnt:
            yield replace(report, phase=PHASE)

    @torch.no_grad()
    def start(self) -> None:
        """Sets the logits of the levels: a level costs the layer's weights times how far it is off, squared."""
        supernet, costs = self.situation.supernet, []
        for layer in supernet.space.layers:
            share, count = self.learnt.of(layer)
            costs.append([count * (level.sparsity - share) ** 2 for level in supernet.axes.levels])
        supernet.theta.logits["level"].copy_(logits_of(costs))

    @property
    def steps_left(self) -> int:
        """Of the training."""
        return self.learnt.training.steps - self.learnt.training.step

    def state_dict(self) -> State:
        """Of the training."""
        return self.learnt.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.learnt.load_state_dict(state)
