"""Sparse variational dropout (Molchanov 2017) on the searched blocks, in float: how sparse each layer may be. Levels
that the space offers are taken as near to that as the budgets allow.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from search.baselines.near import best_near
from search.baselines.offered import worth_of_free, zeros
from search.baselines.setting import Setting
from search.choices import Choice
from search.compression import variational
from search.compression.training import Training
from search.network import Network
from search.sensitivity import MASKED
from search.space import Layer
from search.state import State

RATE = 1e-3  # of Adam; the KL is warmed up over the whole training


class Noise:
    """See `search.baselines.setting.Proposal`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.model = variational.noisy(setting.floats(setting.indices))
        self.training = Training(
            self.model, data=setting.data, recipe=setting.adam(RATE), seed=setting.seed, penalty=self._penalty
        )

    def _penalty(self, step: int) -> Tensor:
        warmup = min(1.0, (step + 1) / self.training.steps)
        return variational.penalty(self.model, len(self.setting.data.y_train), warmup=warmup)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the training."""
        for report in self.training:
            yield report.data

    def proposed(self, layer: Layer) -> tuple[float, int]:
        """The share of zeros in a layer's 1x1 weights, and how many there are; (0, 0) where it has none."""
        masks = variational.masks(self.model)
        found = [mask for name in MASKED if (mask := masks.get(f"layers.{layer.number}.{name}")) is not None]
        count = sum(mask.numel() for mask in found)
        return (1 - sum(int(mask.sum()) for mask in found) / count if count else 0.0), count

    def network(self) -> Network:
        """Levels nearest to the proposal, layers by their weights, near the budgets."""
        setting, space = self.setting, self.setting.learnt.evidence.space
        proposed = [self.proposed(layer) for layer in space.layers]

        def worth(layer: Layer, choice: Choice) -> float:
            share, count = proposed[layer.number]
            return -count * (choice.level.sparsity - share) ** 2

        worth_LK = worth_of_free(space, setting.indices, zeros, worth)
        return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)

    def state_dict(self) -> State:
        """Of the training."""
        return self.training.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.training.load_state_dict(state)
