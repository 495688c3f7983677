"""The searched operators with bits by HAWQ's Omega (Dong 2020) within the same budgets: a float network of them is
trained, its traces are taken, the exact allocation follows.
"""

from collections.abc import Iterator
from typing import Any

from search.baselines import SENSED, VECTORS
from search.baselines.near import best_near
from search.baselines.offered import bits, worth_of_free
from search.baselines.setting import Setting
from search.float_sensitivity import FloatSensitivity
from search.network import Network
from search.state import State


class Bits:
    """See `search.baselines.setting.Proposal`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.floats = FloatSensitivity(
            setting.floats(setting.indices), data=setting.data, settings=setting.rehearsal, pictures=SENSED,
            vectors=VECTORS, seed=setting.seed, task=setting.task,
        )  # fmt: skip

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the float network, then vectors."""
        for report in self.floats:
            yield report.data

    def network(self) -> Network:
        """The least Omega near the budgets."""
        setting, space = self.setting, self.setting.learnt.evidence.space
        omega_LK = self.floats.sensitivity.omegas(space, setting.indices)
        worth_LK = worth_of_free(
            space, setting.indices, bits, lambda layer, c: -omega_LK[layer.number][layer.choices.index(c)]
        )
        return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)

    def state_dict(self) -> State:
        """Of the float network and the traces."""
        return self.floats.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.floats.load_state_dict(state)
