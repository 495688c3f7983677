"""What HAWQ does in front of its allocation: a float network is trained, then asked for its sensitivity."""

from collections.abc import Iterator
from dataclasses import replace

from search.datasets.data import ImageData
from search.finish import Trainer
from search.network import Network
from search.reports import StepReport
from search.sensitivity import Sensitivity
from search.spec import Finish
from search.state import State
from search.task import Task


class FloatSensitivity:
    """Trains `network` (fp32, dense) by `settings`, then asks it `vectors` vectors of random signs on the `pictures`
    that its training begins with: an iterator of step reports of phases `float` and `trace`, and `state_dict()` between
    any two.
    """

    def __init__(
        self, network: Network, *, data: ImageData, settings: Finish, pictures: int, vectors: int, seed: int, task: Task
    ) -> None:
        self.trainer = Trainer(network, data=data, settings=settings, seed=seed, task=task)
        batches = self.trainer.batches
        chosen = batches.order(0)[:pictures]
        self.sensitivity = Sensitivity(
            network, x_NCHW=batches.x_NCHW[chosen], y_N=batches.y_N[chosen], vectors=vectors, seed=seed, task=task
        )

    @property
    def network(self) -> Network:
        """The float network."""
        return self.trainer.network

    @property
    def steps(self) -> int:
        """Steps of the training, and vectors."""
        return self.trainer.steps + self.sensitivity.vectors

    @property
    def steps_left(self) -> dict[str, int]:
        """Of float, trace."""
        return {
            "float": self.trainer.steps - self.trainer.step,
            "trace": self.sensitivity.vectors - len(self.sensitivity.rows),
        }

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains. Raises FloatingPointError."""
        for report in self.trainer:
            yield replace(report, phase="float")
        self.trainer.settle()
        yield from self.sensitivity

    def state_dict(self) -> State:
        """Of the training and the vectors."""
        return {"trainer": self.trainer.state_dict(), "sensitivity": self.sensitivity.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.trainer.load_state_dict(state["trainer"])
        self.sensitivity.load_state_dict(state["sensitivity"])

    def learnt(self) -> State:
        """The trained network and its traces; no optimiser."""
        return {"network": dict(self.network.state_dict()), "sensitivity": self.sensitivity.state_dict()}

    def load_learnt(self, state: State) -> None:
        """Is done, as where `learnt` was taken."""
        self.network.load_state_dict(state["network"])
        self.trainer.step = self.trainer.steps
        self.sensitivity.load_state_dict(state["sensitivity"])
