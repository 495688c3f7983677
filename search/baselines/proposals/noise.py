"""Variational dropout on the searched blocks (search.learnt_zeros): levels that the space offers are taken as near to
its zeros as the budgets allow.
"""

from collections.abc import Iterator
from typing import Any

from search.baselines.near import best_near
from search.baselines.offered import worth_of_free, zeros
from search.baselines.setting import Setting
from search.choices import Choice
from search.learnt_zeros import RATE, LearntZeros
from search.network import Network
from search.space import Layer
from search.state import State


class Noise:
    """See `search.baselines.setting.Proposal`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        floats = setting.floats(setting.indices)
        self.learnt = LearntZeros(floats, data=setting.data, recipe=setting.adam(RATE), seed=setting.seed)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the training."""
        for report in self.learnt:
            yield report.data

    def network(self) -> Network:
        """Levels nearest to the proposal, layers by their weights, near the budgets."""
        setting, space = self.setting, self.setting.learnt.evidence.space
        proposed = [self.learnt.of(layer) for layer in space.layers]

        def worth(layer: Layer, choice: Choice) -> float:
            share, count = proposed[layer.number]
            return -count * (choice.level.sparsity - share) ** 2

        worth_LK = worth_of_free(space, setting.indices, zeros, worth)
        return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)

    def state_dict(self) -> State:
        """Of the training."""
        return self.learnt.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.learnt.load_state_dict(state)
