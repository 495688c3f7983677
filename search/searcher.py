"""The differentiable search: an iterator of step reports that can stop at any step and go on from its state.

FBNet's two levels: weight steps on one part of the training data, architecture steps on the other. Here they
alternate, so that theta always sees weights of today; during warm-up there are weight steps alone.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from search.batches import Batches, split_for_search
from search.datasets.data import ImageData
from search.derive import Budget, solve
from search.objective import ExpectedCost, make
from search.randomness import generator, seeded
from search.reports import StepReport
from search.space import Space
from search.spec import Search
from search.state import State
from search.supernet import Supernet, gumbel_softmax


class Step(NamedTuple):
    """One step of the plan: whose batch it takes and which."""

    epoch: int
    architecture: bool
    batch: int
    ends_epoch: bool


class Searcher:
    """Searches `space` on `data` under `budgets`. Iterate it, then `derive()`; `state_dict()` between any two steps."""

    def __init__(
        self, space: Space, *, data: ImageData, budgets: Sequence[Budget], settings: Search, seed: int
    ) -> None:
        self.space, self.budgets, self.settings, self.seed = space, tuple(budgets), settings, seed
        self.weight_batches, self.theta_batches = split_for_search(
            data,
            examples=settings.examples,
            theta_share=settings.theta_share,
            batch_size=settings.batch_size,
            seed=seed,
        )
        with seeded(seed, "supernet"):
            self.supernet = Supernet(space, settings.supernet)
        self.supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
        self.plan = tuple(self._plan())
        self.step = 0
        self.expected_cost = ExpectedCost(budgets, self.supernet.theta.shape[1])
        self.objective = make(settings.objective, len(budgets))
        self.weight_optimizer = torch.optim.SGD(
            self.supernet.weights(), settings.weight_lr, 0.9, weight_decay=1e-4, nesterov=True
        )
        self.theta_optimizer = torch.optim.Adam([self.supernet.theta], settings.theta_lr, betas=(0.5, 0.999))
        self._orders: dict[tuple[str, int], Tensor] = {}

    def _plan(self) -> Iterator[Step]:
        weight, theta = len(self.weight_batches), len(self.theta_batches)
        for epoch in range(self.settings.epochs):
            wanted = 0 if epoch < self.settings.warmup_epochs else theta
            for number in range(weight):
                due = range(number * wanted // weight, (number + 1) * wanted // weight)
                last = number == weight - 1
                yield Step(epoch, False, number, last and not due)
                for batch in due:
                    yield Step(epoch, True, batch, last and batch == due[-1])

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps, one report each. Raises FloatingPointError where the loss is no number."""
        while self.step < len(self.plan):
            step = self.plan[self.step]
            loss, accuracy = self._architecture_step(step) if step.architecture else self._weight_step(step)
            self.step += 1
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at step {self.step}: lower search.weight_lr or search.theta_lr"
                )
            yield self._report(step, loss, accuracy)

    def _report(self, step: Step, loss: float, accuracy: float) -> StepReport:
        data = {
            "epoch": step.epoch + 1,
            "loss": loss,
            "accuracy": accuracy,
            "expected": self.expected(),
            "temperature": self.temperature(step.epoch),
        }
        distribution = self.probabilities() if step.ends_epoch else None
        return StepReport("search", self.step, len(self.plan), data, distribution)

    def _batch(self, batches: Batches, step: Step) -> tuple[Tensor, Tensor]:
        key = (batches.purpose, step.epoch)
        if key not in self._orders:
            self._orders = {k: order for k, order in self._orders.items() if k[1] == step.epoch}
            self._orders[key] = batches.order(step.epoch)
        return batches.batch(self._orders[key], step.batch)

    def _forward(self, batches: Batches, step: Step) -> tuple[Tensor, float]:
        x_NCHW, y_N = self._batch(batches, step)
        noise = generator(self.seed, "gumbel", self.step)
        p_LK = gumbel_softmax(self.supernet.theta_LK, self.temperature(step.epoch), noise)
        logits = self.supernet(x_NCHW, p_LK)
        return F.cross_entropy(logits, y_N), float((logits.argmax(1) == y_N).float().mean())

    def _weight_step(self, step: Step) -> tuple[float, float]:
        self.supernet.train().theta.requires_grad_(False)
        for group in self.weight_optimizer.param_groups:
            group["lr"] = self.settings.weight_lr * 0.5 * (1 + math.cos(math.pi * self.step / len(self.plan)))
        loss, accuracy = self._forward(self.weight_batches, step)
        self.weight_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.supernet.weights(), 5.0)
        self.weight_optimizer.step()
        return loss.item(), accuracy

    def _architecture_step(self, step: Step) -> tuple[float, float]:
        self.supernet.train().theta.requires_grad_(True)
        for weight in self.supernet.weights():
            weight.requires_grad_(False)
        loss, accuracy = self._forward(self.theta_batches, step)
        share_C = self.expected_cost(self.supernet.probabilities_LK)
        self.theta_optimizer.zero_grad(set_to_none=True)
        self.objective(loss, share_C).backward()  # type: ignore[no-untyped-call]
        self.theta_optimizer.step()
        self.objective.learn(share_C)
        for weight in self.supernet.weights():
            weight.requires_grad_(True)
        return loss.item(), accuracy

    def temperature(self, epoch: int) -> float:
        """From `start` to `end` in equal ratios over the epochs that search."""
        span = max(1, self.settings.epochs - self.settings.warmup_epochs - 1)
        done = min(1.0, max(0, epoch - self.settings.warmup_epochs) / span)
        start, end = self.settings.temperature.start, self.settings.temperature.end
        return float(start * (end / start) ** done)

    def probabilities(self) -> list[list[float]]:
        """softmax(theta), a list a layer over that layer's candidates."""
        p_LK = self.supernet.probabilities_LK.detach()
        return [row[: len(layer.blocks)].tolist() for layer, row in zip(self.space.layers, p_LK, strict=True)]

    def expected(self) -> dict[str, float]:
        """Expected total of each budget under theta, by the budget's name and in its unit."""
        with torch.no_grad():
            share_C = self.expected_cost(self.supernet.probabilities_LK).tolist()
        return {budget.name: share * budget.maximum for budget, share in zip(self.budgets, share_C, strict=True)}

    def derive(self) -> tuple[int, ...]:
        """The choice of each layer that theta thinks most likely among those that hold every budget; exact."""
        log_p = torch.log_softmax(self.supernet.theta_LK.detach().double(), dim=1)
        worth = [row[: len(layer.blocks)].tolist() for layer, row in zip(self.space.layers, log_p, strict=True)]
        return solve(worth, self.budgets)

    def state_dict(self) -> State:
        """All that the remaining steps depend on; random draws need no state."""
        return {
            "step": self.step,
            "supernet": dict(self.supernet.state_dict()),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "theta_optimizer": self.theta_optimizer.state_dict(),
            "objective": self.objective.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step = state["step"]
        self.supernet.load_state_dict(state["supernet"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.theta_optimizer.load_state_dict(state["theta_optimizer"])
        self.objective.load_state_dict(state["objective"])
