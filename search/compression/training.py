"""Training of any classifier, with masks held and a penalty added: what the methods of this room are tried with.

A network of a job is trained by the job's own trainer; this one takes every module, and goes on from any step of its
own with another order of pictures, which tickets and instability need.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.batches import Batches, evaluation, shifted, tensors
from search.compression.magnitude import Masks, apply_masks
from search.datasets.data import ImageData
from search.randomness import seeded
from search.reports import StepReport
from search.state import State, copied

Penalty = Callable[[int], Tensor]  # of a step, in the loss's unit
GATE, GATE_SPEED = ".log_alpha", 5.0  # gates travel several units (hard_concrete) where weights move by hundredths


class Recipe(NamedTuple):
    """The rate falls as a cosine to 0, or stays as it is. `shift` moves pictures by up to so many pixels, as in
    `search.batches.shifted`.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 0.1
    optimizer: Literal["sgd", "adam"] = "sgd"
    shift: tuple[int, int] = (0, 0)
    schedule: Literal["cosine", "constant"] = "cosine"

    def rate(self, step: int, steps: int) -> float:
        """Of the optimiser in `step` of `steps`."""
        return self.lr if self.schedule == "constant" else self.lr * 0.5 * (1 + math.cos(math.pi * step / steps))


class Training:
    """Trains `model` in place, `masks` held at 0. `seed` orders pictures, moves them and draws the noise of layers that
    have any; weights are what they are. An iterator of step reports.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        data: ImageData,
        recipe: Recipe,
        seed: int,
        masks: Masks | None = None,
        penalty: Penalty | None = None,
    ) -> None:
        self.model, self.data, self.recipe, self.seed = model, data, recipe, seed
        self.masks, self.penalty = masks, penalty
        self.batches = Batches(*tensors(data.x_train, data.y_train), recipe.batch_size, seed, "compression batches")
        gates = [p for name, p in model.named_parameters() if name.endswith(GATE)]
        weights = [p for name, p in model.named_parameters() if not name.endswith(GATE)]
        groups = [{"params": weights, "speed": 1.0}, {"params": gates, "speed": GATE_SPEED}]
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(groups, recipe.lr, momentum=0.9)
            if recipe.optimizer == "sgd"
            else torch.optim.Adam(groups, recipe.lr)
        )
        self.steps = recipe.epochs * len(self.batches)
        self.step = 0
        if masks is not None:
            apply_masks(model, masks)

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps, one report each."""
        order, order_epoch = self.batches.order(0), 0
        while self.step < self.steps:
            epoch, number = divmod(self.step, len(self.batches))
            if epoch != order_epoch:
                order, order_epoch = self.batches.order(epoch), epoch
            loss = self._step(*self.batches.batch(order, number))
            yield StepReport("train", self.step, self.steps, {"epoch": epoch + 1, "loss": loss})

    def run(self, until: int | None = None) -> None:
        """Does the steps up to `until`, or all that remain."""
        until = self.steps if until is None else until
        if self.step >= until:
            return
        for report in self:
            if report.step == until:
                return

    def _step(self, x_NCHW: Tensor, y_N: Tensor) -> float:
        if any(self.recipe.shift):
            x_NCHW = shifted(x_NCHW, self.recipe.shift, self.seed, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step, self.steps) * group["speed"]
        with seeded(self.seed, f"noise of step {self.step}"):
            loss = F.cross_entropy(self.model.train()(x_NCHW), y_N)
            total = loss if self.penalty is None else loss + self.penalty(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.masks is not None:
            apply_masks(self.model, self.masks)
        self.step += 1
        if not math.isfinite(total.item()):
            raise FloatingPointError(f"the loss is {total.item()} at step {self.step}: lower the recipe's lr")
        return loss.item()

    def state_dict(self) -> State:
        """All that the remaining steps depend on, copied: steps that follow leave it as it is."""
        return copied({"step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit where seed and masks are the same too."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copied(state["optimizer"]))
        if self.masks is not None:
            apply_masks(self.model, self.masks)


def error(model: nn.Module, data: ImageData) -> float:
    """The share of test pictures that `model` gets wrong, in evaluation mode."""
    x_NCHW, y_N = tensors(data.x_test, data.y_test)
    with torch.inference_mode():
        answers = torch.cat([model.eval()(batch).argmax(1) for batch in evaluation(x_NCHW)])
    return float((answers != y_N).double().mean())
