"""L0 gates on the searched kernels at full width (search.learnt_widths). They keep as large a share of the weights as
the search does; widths that the space offers are taken as near to theirs as the budgets allow.
"""

from collections.abc import Iterator
from typing import Any

from search.baselines.near import best_near
from search.baselines.offered import widths, worth_of_free
from search.baselines.setting import Setting
from search.budget import Indices
from search.choices import Choice
from search.learnt_widths import RATE, LearntWidths
from search.network import Network
from search.space import Layer, Space
from search.state import State


class Gates:
    """See `search.baselines.setting.Proposal`. Where the search took no block whose width is a choice, nothing is gated
    and the searched network is proposed.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        space = setting.learnt.evidence.space
        self.full = widest(space, setting.indices)
        pairs = zip(space.layers, self.full, strict=True)
        self.gated = {layer.number: layer.choices[index] for layer, index in pairs if _is_gated(layer, index)}
        self.learnt = LearntWidths(
            setting.floats(self.full), channels={number: choice.c_mid for number, choice in self.gated.items()},
            multiple=space.choices.width_multiple, density=self._density() if self.gated else 1.0, data=setting.data,
            recipe=setting.adam(RATE), seed=setting.seed,
        )  # fmt: skip

    def _density(self) -> float:
        """The share of the gated layers' weights that the searched network has."""
        layers = self.setting.learnt.evidence.space.layers
        own = [layers[n].c_out * layers[n].choices[self.setting.indices[n]].c_mid for n in self.gated]
        return sum(own) / sum(layers[n].c_out * choice.c_mid for n, choice in self.gated.items())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the training."""
        for report in self.learnt:
            yield report.data

    def network(self) -> Network:
        """Widths nearest to the proposal, layers by their weights, near the budgets."""
        setting, space = self.setting, self.setting.learnt.evidence.space
        kept = {number: self.learnt.kept(number) for number in self.gated}

        def worth(layer: Layer, choice: Choice) -> float:
            full = self.gated.get(layer.number)
            if full is None:
                return 0.0
            away = choice.c_mid / full.c_mid - kept[layer.number]
            return -layer.c_out * full.c_mid * away**2

        worth_LK = worth_of_free(space, setting.indices, widths, worth)
        return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)

    def state_dict(self) -> State:
        """Of the training and the multipliers."""
        return self.learnt.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.learnt.load_state_dict(state)


def widest(space: Space, indices: Indices) -> Indices:
    """The same kernels, groups, precisions and zeros, each at its greatest width."""
    found = []
    for layer, index in zip(space.layers, indices, strict=True):
        alike = [k for k, choice in enumerate(layer.choices) if widths(layer.choices[index], choice)]
        found.append(max(alike, key=lambda k: layer.choices[k].c_mid))
    return tuple(found)


def _is_gated(layer: Layer, full: int) -> bool:
    choice = layer.choices[full]
    return choice.candidate.kernel > 0 and sum(widths(choice, other) for other in layer.choices) > 1
