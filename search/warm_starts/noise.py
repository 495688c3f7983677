"""Levels of zeros start from what variational dropout proposes for the largest path (search.learnt_zeros)."""

import torch

from search.learnt_zeros import RATE, LearntZeros
from search.warm_starts.scale import logits_of
from search.warm_starts.situation import Situation
from search.warm_starts.trained import Trained


class Noise(Trained):
    """See `search.warm_starts.situation.WarmStart`."""

    learnt: LearntZeros

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.learnt = LearntZeros(
            situation.floats(), data=situation.data, recipe=situation.adam(RATE), seed=situation.seed
        )

    @torch.no_grad()
    def start(self) -> None:
        """Sets the logits of the levels: a level costs the layer's weights times how far it is off, squared."""
        supernet, costs = self.situation.supernet, []
        for layer in supernet.space.layers:
            share, count = self.learnt.of(layer)
            costs.append([count * (level.sparsity - share) ** 2 for level in supernet.axes.levels])
        supernet.theta.logits["level"].copy_(logits_of(costs))
