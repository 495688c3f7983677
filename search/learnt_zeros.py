"""Sparse variational dropout (Molchanov 2017) on a network of ours, in float: how many zeros each layer may have."""

from collections.abc import Iterator

from torch import Tensor

from search.compression import variational
from search.compression.training import Recipe, Training
from search.datasets.data import ImageData
from search.network import Network
from search.reports import StepReport
from search.sensitivity import MASKED
from search.space import Layer
from search.state import State

RATE = 1e-3  # of Adam; the KL is warmed up over the whole training


class LearntZeros:
    """Trains a noisy copy of `network` (fp32, dense): an iterator of step reports, `state_dict()` between any two."""

    def __init__(self, network: Network, *, data: ImageData, recipe: Recipe, seed: int) -> None:
        self.model = variational.noisy(network)
        self.examples = len(data.y_train)
        self.training = Training(self.model, data=data, recipe=recipe, seed=seed, penalty=self._penalty)

    def _penalty(self, step: int) -> Tensor:
        return variational.penalty(self.model, self.examples, warmup=min(1.0, (step + 1) / self.training.steps))

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps. Raises FloatingPointError."""
        return iter(self.training)

    def of(self, layer: Layer) -> tuple[float, int]:
        """The share of zeros that a layer's 1x1 weights may have, and how many these weights are: none gives (0, 0)."""
        masks = variational.masks(self.model)
        found = [mask for name in MASKED if (mask := masks.get(f"layers.{layer.number}.{name}")) is not None]
        count = sum(mask.numel() for mask in found)
        return (1 - sum(int(mask.sum()) for mask in found) / count if count else 0.0), count

    def state_dict(self) -> State:
        """Of the training."""
        return self.training.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.training.load_state_dict(state)
