"""Training the derived network: an iterator of step reports, like the searcher."""

import math
from collections.abc import Iterator

import torch

from search.batches import Batches, evaluation, shifted, tensors
from search.datasets.data import ImageData
from search.export import settle_biases
from search.network import Network, recalibrate
from search.quantizers.learning import LEARNING_RATE, learn_steps
from search.reports import StepReport
from search.spec import Finish
from search.state import State
from search.task import CLASSIFICATION, Task

CALIBRATION_EXAMPLES = 2000
STEP = ".log_size"  # how the names of learnt steps end


class Trainer:
    """Trains `network` on all training data: SGD with momentum, one warm-up epoch, cosine to 0; pictures shift by a
    14th.
    """

    def __init__(
        self, network: Network, *, data: ImageData, settings: Finish, seed: int, task: Task = CLASSIFICATION
    ) -> None:
        self.network, self.settings, self.seed, self.task = network, settings, seed, task
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
        self.batches = Batches(*tensors(data.x_train, data.y_train), settings.batch_size, seed, "finish batches")
        self.shift = data.input.height // 14
        if settings.quantizer != "statistics":
            learn_steps(network, settings.quantizer)
        steps = [p for name, p in network.named_parameters() if name.endswith(STEP)]
        weights = [p for name, p in network.named_parameters() if not name.endswith(STEP)]
        decayed = [p for p in weights if p.ndim > 1]
        plain = [p for p in weights if p.ndim == 1]  # BatchNorm and biases are not shrunk
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(groups, settings.lr, momentum=0.9, nesterov=True)
        self.step_optimizer = torch.optim.Adam(steps, LEARNING_RATE) if steps else None
        self.steps = settings.epochs * len(self.batches)
        self.step = 0
        self._is_settled = False

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps, one report each."""
        order, order_epoch = self.batches.order(0), 0
        while self.step < self.steps:
            epoch, number = divmod(self.step, len(self.batches))
            if epoch != order_epoch:
                order, order_epoch = self.batches.order(epoch), epoch
            x_NCHW, y_N = self.batches.batch(order, number)
            if self.shift:
                x_NCHW = shifted(x_NCHW, self.shift, self.seed, self.step).contiguous(memory_format=torch.channels_last)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            output = self.network.train()(x_NCHW)
            loss = self.task.loss(output, y_N)
            self.network.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if self.step_optimizer:
                self.step_optimizer.param_groups[0]["lr"] = LEARNING_RATE * self.rate() / self.settings.lr
                self.step_optimizer.step()
            self.step += 1
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}: lower finish.lr")
            metric = float(self.task.metric(output.detach(), y_N).mean())
            data = {"epoch": epoch + 1, "loss": loss.item(), self.task.metric_name: metric}
            yield StepReport("finish", self.step, self.steps, data)

    def rate(self) -> float:
        """Learning rate of the next step."""
        warmup = min(len(self.batches), self.steps // 10) or 1
        if self.step < warmup:
            return self.settings.lr * (self.step + 1) / warmup
        return self.settings.lr * 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / max(1, self.steps - warmup)))

    def settle(self) -> None:
        """Recalibrates BatchNorm on unshifted training pictures, and rounds biases where a file stores integers; the
        network is then in evaluation mode. Once: rounded biases would move the statistics again.
        """
        if self._is_settled:
            return
        self._is_settled = True
        recalibrate(self.network, evaluation(self.batches.x_NCHW[self.batches.order(0)[:CALIBRATION_EXAMPLES]]))
        if self.network.can_be_exported:
            settle_biases(self.network)

    def state_dict(self) -> State:
        """All that the remaining steps depend on."""
        return {
            "step": self.step,
            "settled": self._is_settled,
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "step_optimizer": None if self.step_optimizer is None else self.step_optimizer.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step, self._is_settled = state["step"], state["settled"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.step_optimizer is not None:
            self.step_optimizer.load_state_dict(state["step_optimizer"])


def evaluated(network: Network, data: ImageData, task: Task = CLASSIFICATION) -> float:
    """The task's metric over all test pictures, in evaluation mode: of a classifier its accuracy."""
    x_NCHW, y_N = tensors(data.x_test, data.y_test)
    with torch.inference_mode():
        output = torch.cat([network.eval()(batch) for batch in evaluation(x_NCHW)])
        return float(task.metric(output, y_N).double().mean())
