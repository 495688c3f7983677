"""The searched operators with bits by HAWQ's Omega (Dong 2020) within the same budgets: a float network of them is
trained, its traces are taken, the exact allocation follows.
"""

from collections.abc import Iterator
from typing import Any

from search.baselines import VECTORS
from search.baselines.near import best_near
from search.baselines.offered import bits, worth_of_free
from search.baselines.setting import Setting
from search.finish import Trainer
from search.network import Network
from search.sensitivity import Sensitivity
from search.state import State

PICTURES = 256


class Bits:
    """See `search.baselines.setting.Proposal`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.trainer = Trainer(
            setting.floats(setting.indices),
            data=setting.data,
            settings=setting.rehearsal,
            seed=setting.seed,
            task=setting.task,
        )
        batches = self.trainer.batches
        chosen = batches.order(0)[:PICTURES]
        self.sensitivity = Sensitivity(
            self.trainer.network, x_NCHW=batches.x_NCHW[chosen], y_N=batches.y_N[chosen],
            vectors=VECTORS, seed=setting.seed, task=setting.task,
        )  # fmt: skip

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the float network, then vectors."""
        for report in self.trainer:
            yield report.data
        self.trainer.settle()
        for report in self.sensitivity:
            yield report.data

    def network(self) -> Network:
        """The least Omega near the budgets."""
        setting, space = self.setting, self.setting.learnt.evidence.space
        omega_LK = self.sensitivity.omegas(space, setting.indices)
        worth_LK = worth_of_free(
            space, setting.indices, bits, lambda layer, c: -omega_LK[layer.number][layer.choices.index(c)]
        )
        return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)

    def state_dict(self) -> State:
        """Of the float network and the traces."""
        return {"trainer": self.trainer.state_dict(), "sensitivity": self.sensitivity.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.trainer.load_state_dict(state["trainer"])
        self.sensitivity.load_state_dict(state["sensitivity"])
