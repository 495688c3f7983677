"""L0 gates (Louizos 2018) on the middle channels of a network of ours, in float: how wide each block has to be."""

import math
from collections.abc import Iterator, Mapping

from search.compression.hard_concrete import Target, densities, gated
from search.compression.training import Recipe, Training
from search.datasets.data import ImageData
from search.network import Network
from search.reports import StepReport
from search.state import State

RATE = 1e-2  # of Adam; gates move five times as fast


class LearntWidths:
    """Trains a copy of `network` (fp32, dense) whose `channels`, the middle channels by number of a layer, have a gate
    for each group of `multiple`, and holds `density` of the weights that read them; with no channels none is gated.
    An iterator of step reports, and `state_dict()` between any two.
    """

    def __init__(
        self, network: Network, *, channels: Mapping[int, int], multiple: int, density: float, data: ImageData,
        recipe: Recipe, seed: int,
    ) -> None:  # fmt: skip
        groups = {_name(number): math.gcd(c_mid, multiple) for number, c_mid in channels.items()}
        self.model = gated(network, groups)
        steps = recipe.epochs * max(1, len(data.y_train) // recipe.batch_size)
        self.target = Target(self.model, density, ramp=max(1, steps // 2)) if groups else None
        penalty = self.target.penalty if self.target else None
        self.training = Training(self.model, data=data, recipe=recipe, seed=seed, penalty=penalty)

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps. Raises FloatingPointError."""
        return iter(self.training)

    def kept(self, number: int) -> float:
        """The share of a gated layer's middle channels that stay."""
        return densities(self.model)[_name(number)]

    def state_dict(self) -> State:
        """Of the training and the multipliers."""
        target = None if self.target is None else self.target.state_dict()
        return {"training": self.training.state_dict(), "target": target}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.training.load_state_dict(state["training"])
        if self.target is not None:
            self.target.load_state_dict(state["target"])


def _name(number: int) -> str:
    return f"layers.{number}.project"
