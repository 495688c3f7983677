"""Training the derived network: an iterator of step reports, like the searcher."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from search.batches import Batches, calibration, harmless_shift, shifted, tensors
from search.datasets.data import ImageData
from search.export import settle_biases
from search.finish.average import Average
from search.finish.distillation import apart, refuse_unteachable
from search.finish.evaluation import Quality, evaluated, quality_of
from search.finish.held import held_from, hold
from search.finish.optimizers import optimizers
from search.finish.pruning import pruning_of
from search.network import Network, recalibrate, take_own_steps
from search.quantizers.grids import measure_found
from search.quantizers.learning import LEARNING_RATE
from search.quantizers.post_training import round_network
from search.randomness import seeded
from search.reports import StepReport
from search.spec import Finish
from search.state import State
from search.task import CLASSIFICATION, Task
from search.unrounded import float_copy, rounds

CALIBRATION_EXAMPLES = 2000


class Trainer:
    """Trains `network` on all training data: SGD with momentum, a warm-up of one epoch or a tenth of the steps, if that
    is less, cosine to 0; pictures shift by up to a 14th of their height and width. Its zeros come in as
    `settings.pruning` says, and `notes` tell which way that was. With distillation `teacher` is the trainer of the
    float twin, which goes first, from the same weights. With `settings.post_training` what learns (`learner`) is the
    network in float, and `network` is rounded when that is done. Raises ValueError where the task is none that can be
    taught.
    """

    def __init__(
        self, network: Network, *, data: ImageData, settings: Finish, seed: int, task: Task = CLASSIFICATION
    ) -> None:
        refuse_unteachable(settings, task)
        self.network, self.data, self.settings, self.seed, self.task = network, data, settings, seed, task
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
        self.batches = Batches(*tensors(data.x_train, data.y_train), settings.batch_size, seed, "finish batches")
        self.shift = harmless_shift(data.input)
        self.learner = self._learner()
        if settings.quantizer != "statistics":
            measure_found(self.learner, self.calibration)
        self.optimizer, self.step_optimizer = optimizers(self.learner, settings)
        self.steps = settings.epochs * len(self.batches)
        self.step = 0
        self._is_settled = False
        self.teacher = self._start_teacher()
        self.teacher_metric: float | None = None  # of the twin on the test pictures, once settled
        self.pruning, self.notes = pruning_of(self.learner, settings, self.steps)
        self.held_from = held_from(self.learner, self.pruning, settings, self.steps)
        self.average = Average(self.learner, settings.ema) if settings.ema else None

    def _learner(self) -> Network:
        if self.settings.post_training is None or not rounds(self.network.architecture):
            return self.network
        plain = float_copy(self.network, self.task.head)
        return plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # as above

    def _start_teacher(self) -> "Trainer | None":
        if self.settings.distillation is None:
            return None
        alone = self.settings.model_copy(
            update={"epochs": self.settings.teaching_epochs, "distillation": None, "post_training": None}
        )
        twin = float_copy(self.network, self.task.head, dense=True)
        return Trainer(twin, data=self.data, settings=alone, seed=self.seed, task=self.task)

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps, one report each: of phase `teach`, then of phase `finish`."""
        if self.teacher is not None:
            for report in self.teacher:
                yield replace(report, phase="teach")
            self.teacher.settle()
        order, order_epoch = self.batches.order(0), 0
        while self.step < self.steps:
            epoch, number = divmod(self.step, len(self.batches))
            if epoch != order_epoch:
                order, order_epoch = self.batches.order(epoch), epoch
            x_NCHW, y_N = self.batches.batch(order, number)
            if any(self.shift):
                x_NCHW = shifted(x_NCHW, self.shift, self.seed, self.step).contiguous(memory_format=torch.channels_last)
            loss, output = self._train(x_NCHW, y_N)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {self.step}: lower finish.lr")
            metric = float(self.task.metric(output, y_N).mean())
            data = {"epoch": epoch + 1, "loss": loss, self.task.metric_name: metric}
            yield StepReport("finish", self.step, self.steps, data)

    def _train(self, x_NCHW: Tensor, y_N: Tensor) -> tuple[float, Tensor]:
        """One step: its loss and what the network answered."""
        self._set_rates()
        if self.pruning is not None:
            self.pruning.before_step(self.step)
        self.learner.train()
        if self.step >= self.held_from:
            hold(self.learner, self.calibration() if self.step == self.held_from else None)
        with seeded(self.seed, f"noise of step {self.step}"):  # a head of one's own may drop out
            output = self.learner(x_NCHW)
        loss = self._loss(output, x_NCHW, y_N)
        self.learner.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        with nullcontext() if self.pruning is None else self.pruning.holding():
            self.optimizer.step()
        if self.step_optimizer is not None:
            self.step_optimizer.step()
        if self.average is not None:
            self.average.take(self.step)
        self.step += 1
        return loss.item(), output.detach()

    def _loss(self, output: Tensor, x_NCHW: Tensor, y_N: Tensor) -> Tensor:
        loss, distillation = self.task.loss(output, y_N), self.settings.distillation
        if distillation is None:
            return loss
        assert self.teacher is not None
        with torch.no_grad():
            taught = self.teacher.network.eval()(x_NCHW)
        weight = distillation.weight
        return (1 - weight) * loss + weight * apart(output, taught, distillation.temperature)

    def _set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        if self.step_optimizer is not None:
            self.step_optimizer.param_groups[0]["lr"] = LEARNING_RATE * self.rate() / self.settings.lr

    def rate(self) -> float:
        """Learning rate of the next step."""
        warmup = min(len(self.batches), self.steps // 10) or 1
        if self.step < warmup:
            return self.settings.lr * (self.step + 1) / warmup
        return self.settings.lr * 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / max(1, self.steps - warmup)))

    def settle(self) -> None:
        """Takes the average of the weights where one is kept, recalibrates BatchNorm on unshifted training pictures
        where the last steps did not hold it, and rounds biases where a file stores integers; the network is then in
        evaluation mode. Once: rounded biases would move the statistics again.
        """
        if self._is_settled:
            return
        self._is_settled = True
        if self.average is not None:
            self.average.write()
        self.learner.eval()
        if self.held_from == self.steps:
            recalibrate(self.learner, self.calibration())
        if self.learner is not self.network:
            assert self.settings.post_training is not None
            batches = list(self.calibration())
            round_network(self.network, self.learner, batches, self.settings.post_training, seed=self.seed)
        if self.network.can_be_exported:
            settle_biases(self.network)
        if self.teacher is not None:
            self.teacher_metric = evaluated(self.teacher.network, self.data, self.task)

    def quality_as_given(self) -> Quality:
        """How good the network is before any training, with BatchNorm recalibrated: of a copy, the network stays."""
        assert not self.step, "the network was trained already"
        network = deepcopy(self.network)
        recalibrate(network, self.calibration())
        return quality_of(network, self.data, self.task)

    def calibration(self) -> Iterator[Tensor]:
        """The pictures that statistics are taken over: unshifted ones of the training."""
        return calibration(self.batches.x_NCHW[self.batches.order(0)[:CALIBRATION_EXAMPLES]])

    def state_dict(self) -> State:
        """All that the remaining steps depend on."""
        return {
            "step": self.step,
            "settled": self._is_settled,
            "network": dict(self.network.state_dict()),
            "learner": None if self.learner is self.network else dict(self.learner.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "step_optimizer": None if self.step_optimizer is None else self.step_optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "teacher": None if self.teacher is None else self.teacher.state_dict(),
            "teacher_metric": self.teacher_metric,
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step, self._is_settled = state["step"], state["settled"]
        take_own_steps(self.network, state["network"])  # calibrated ones are not there before
        self.network.load_state_dict(state["network"])
        if self.learner is not self.network:
            self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.step_optimizer is not None:
            self.step_optimizer.load_state_dict(state["step_optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])
        self.teacher_metric = state["teacher_metric"]
