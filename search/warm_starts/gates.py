"""Widths start from what L0 gates keep of the largest path (search.learnt_widths). The gates hold as large a share of
the weights as an even draw within the budgets has.
"""

import math

import torch

from search.learnt_widths import RATE, LearntWidths
from search.space import Layer
from search.warm_starts.scale import logits_of
from search.warm_starts.situation import Situation
from search.warm_starts.trained import Trained


class Gates(Trained):
    """See `search.warm_starts.situation.WarmStart`."""

    learnt: LearntWidths

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.layers = [layer for layer in situation.supernet.space.layers if _widest(layer)]
        self.learnt = LearntWidths(
            situation.floats(), channels={layer.number: _widest(layer) for layer in self.layers},
            multiple=situation.supernet.space.choices.width_multiple, density=self._density(), data=situation.data,
            recipe=situation.adam(RATE), seed=situation.seed,
        )  # fmt: skip

    def _density(self) -> float:
        """What an even draw has of the gated layers' weights, where it has blocks."""
        drawn_LK, kept, full = self.situation.paths.probabilities().block.tolist(), 0.0, 0
        for layer in self.layers:
            blocks = list(zip(layer.blocks, drawn_LK[layer.number], strict=False))  # rows are as long as the longest
            drawn = sum(p for block, p in blocks if block.candidate.kernel)
            middle = sum(p * block.c_mid for block, p in blocks if block.candidate.kernel)
            kept += layer.c_out * (middle / drawn if drawn else 0.0)  # a tight budget may leave a skip alone
            full += layer.c_out * _widest(layer)
        return kept / full

    @torch.no_grad()
    def start(self) -> None:
        """Sets the logits of the blocks: a width costs the layer's weights times how far it is off, squared."""
        theta = self.situation.supernet.theta
        columns = theta.axes.sizes.block
        costs = [self._costs(layer) for layer in theta.axes.space.layers]
        theta.logits["block"].copy_(logits_of([row + [math.nan] * (columns - len(row)) for row in costs]))

    def _costs(self, layer: Layer) -> list[float]:
        widest = _widest(layer)
        if not widest:
            return [math.nan] * len(layer.blocks)
        kept = self.learnt.kept(layer.number)
        return [
            layer.c_out * widest * (block.c_mid / widest - kept) ** 2 if block.candidate.kernel else math.nan
            for block in layer.blocks
        ]


def _widest(layer: Layer) -> int:
    """Middle channels of a layer's largest path; 0 where its blocks have one width alone, or none."""
    found = {block.c_mid for block in layer.blocks if block.candidate.kernel}
    return max(found) if len(found) > 1 else 0
