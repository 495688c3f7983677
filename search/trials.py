"""A short training of the best finalists before one of them is chosen.

Scores on the supernet tell what its weights make of an architecture, not what training will still make of it. So the
best few can be trained for a while, each from the supernet's weights, and judged on the pictures held out (one round of
successive halving: Jamieson 2016, fig. 1). Short trials before a long training mislead: docs/concepts/supernet.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from search.batches import Batches, evaluation
from search.budget import Indices
from search.datasets.data import ImageData
from search.finish import Trainer
from search.reports import StepReport
from search.spec import Finish
from search.state import State
from search.supernet import Supernet
from search.task import CLASSIFICATION, Task


class Trials:
    """Trains each of `finalists` as `settings` says on the training part of `data`, from the weights of `supernet`; an
    iterator of step reports, and `state_dict()` between any two. Scores are negative losses on `held_out`.
    """

    def __init__(
        self, supernet: Supernet, *, finalists: Sequence[Indices], data: ImageData, held_out: Batches,
        settings: Finish, seed: int, task: Task = CLASSIFICATION,
    ) -> None:  # fmt: skip
        self.supernet, self.finalists, self.data, self.held_out = supernet, tuple(finalists), data, held_out
        self.settings, self.seed, self.task = settings, seed, task
        self.steps = len(self.finalists) * settings.epochs * max(1, len(data.y_train) // settings.batch_size)
        self.step = 0
        self.scores: list[float] = []
        self.trainer: Trainer | None = None

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains, one report a training step. Raises FloatingPointError where a loss is no number."""
        while len(self.scores) < len(self.finalists):
            self.trainer = self.trainer or self._start()
            for report in self.trainer:
                self.step += 1
                data = {**report.data, "finalist": len(self.scores) + 1, "finalists": len(self.finalists)}
                yield StepReport("trial", self.step, self.steps, data)
            self.scores.append(self._score(self.trainer))
            self.trainer = None

    def _start(self) -> Trainer:
        network = self.supernet.inherit(self.finalists[len(self.scores)])
        return Trainer(network, data=self.data, settings=self.settings, seed=self.seed, task=self.task)

    def _score(self, trainer: Trainer) -> float:
        trainer.settle()
        with torch.inference_mode():
            output = torch.cat([trainer.network(x_NCHW) for x_NCHW in evaluation(self.held_out.x_NCHW)])
            return -float(self.task.loss(output, self.held_out.y_N))

    def best(self) -> Indices:
        """The finalist with the best score; of equals the one that came first."""
        return self.finalists[self.scores.index(max(self.scores))]

    def state_dict(self) -> State:
        """All that the remaining steps depend on, beside the supernet."""
        return {
            "step": self.step,
            "scores": list(self.scores),
            "trainer": None if self.trainer is None else self.trainer.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step, self.scores = state["step"], list(state["scores"])
        if state["trainer"] is not None:
            self.trainer = self._start()
            self.trainer.load_state_dict(state["trainer"])


def training_part(data: ImageData, batches: Batches) -> ImageData:
    """`data` with only the pictures of `batches` to train on: those that a search trains its weights on."""
    return replace(data, x_train=batches.x_NCHW.numpy(), y_train=batches.y_N.numpy())
