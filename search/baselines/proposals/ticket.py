"""A lottery ticket of the searched network (Frankle 2020, alg. 2): iterative magnitude pruning with rewinding. It
has the levels of zeros that the search chose; the mask, and the weights under it, are of the ticket.

In each of ROUNDS rounds the network trains as in the finish, each row loses the same share of what is left, by
magnitude, and the weights go back to those of step k, one epoch or a tenth of the training in, whichever is sooner.
The ticket then trains anew from these, with the whole schedule.
"""

from collections.abc import Iterator
from typing import Any

from search.baselines import ROUNDS
from search.baselines.setting import Setting
from search.blocks import MobileBlock
from search.compression.magnitude import in_rounds
from search.finish import Trainer
from search.network import Network
from search.sparsity import survivors
from search.spec import Pruning
from search.state import State


class Ticket:
    """See `search.baselines.setting.Proposal`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.settings = setting.rehearsal.model_copy(update={"pruning": Pruning(schedule="one-shot")})
        self.round = 0
        network = setting.learnt.start(setting.indices, setting.seed)
        for block in _sparse(network):
            for _, mask_OM in block.masked_weights():
                mask_OM.fill_(True)
        self.trainer = self._training(network)
        self.rewind_step = min(len(self.trainer.batches), self.trainer.steps // 10)
        self.rewound: State | None = _copied(network) if self.rewind_step == 0 else None

    def _training(self, network: Network) -> Trainer:
        setting = self.setting
        return Trainer(network, data=setting.data, settings=self.settings, seed=setting.seed, task=setting.task)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Steps of the rounds that remain."""
        while self.round < ROUNDS:
            for report in self.trainer:
                if self.rewound is None and report.step == self.rewind_step:
                    self.rewound = _copied(self.trainer.network)
                yield {**report.data, "round": self.round + 1, "rounds": ROUNDS}
            self._prune()

    def _prune(self) -> None:
        trained = self.trainer.network
        for block in _sparse(trained):
            share = in_rounds(block.level.sparsity, ROUNDS)[self.round] if self.round + 1 < ROUNDS else None
            for weight_OM, mask_OM in block.masked_weights():
                mask_OM.copy_(survivors(weight_OM * mask_OM, block.level, share))
        assert self.rewound is not None, "step k comes before the end"
        masks = {name: value for name, value in trained.state_dict().items() if name.endswith("_mask")}
        trained.load_state_dict({**self.rewound, **masks})
        self.round += 1
        self.trainer = self._training(trained)

    def network(self) -> Network:
        """The weights of step k under the last masks."""
        return self.trainer.network

    def state_dict(self) -> State:
        """Of the round that is on, and the weights of step k."""
        return {"round": self.round, "trainer": self.trainer.state_dict(), "rewound": self.rewound}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.round, self.rewound = state["round"], state["rewound"]
        self.trainer.load_state_dict(state["trainer"])


def _sparse(network: Network) -> list[MobileBlock]:
    return [block for block in network.layers if isinstance(block, MobileBlock) and block.level.sparsity]


def _copied(network: Network) -> State:
    return {name: value.clone() for name, value in network.state_dict().items()}
