"""The differentiable search: an iterator of step reports that can stop at any step and go on from its state.

FBNet's two levels: weight steps on one part of the training data, architecture steps on the other. Here they
alternate, so that theta always sees weights of today; during warm-up there are weight steps alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search import warm_starts
from search.batches import Batches, split_for_search, training_part
from search.budget import Budget, Indices, Matrix
from search.datasets.data import ImageData
from search.expectation import ExpectedCost
from search.finalists import finalists
from search.objective import make, paths_within
from search.randomness import seeded
from search.reports import StepReport
from search.space import Space
from search.spec import Search
from search.state import State
from search.supernet import Sample, Supernet
from search.supernet.pretrained import load_pretrained
from search.task import CLASSIFICATION, Classification, Task
from search.warm_starts.methods import WARM_STARTS
from search.warm_starts.situation import Situation, WarmStart

CLOSED_BELOW = 0.01  # options less likely than this are cut away while the search runs,
CLOSED_BELOW_EVEN = 0.1  # where it is less than this part of an even share: of very many, each has little
SURE_AFTER = 0.5  # but not in the first half of the architecture steps


class Step(NamedTuple):
    """One step of the plan: whose batch it takes and which. `progress` counts architecture steps, this one included."""

    epoch: int
    architecture: bool
    batch: int
    begins_epoch: bool
    ends_epoch: bool
    progress: float


class Searcher:
    """Searches `space` on `data` under `budgets`. Iterate it, with `state_dict()` between any two steps; then ask for
    `finalists`. `pretrained` are weights to start from (search.supernet.pretrained). Raises ValueError where
    a warm start does not fit.
    """

    def __init__(
        self, space: Space, *, data: ImageData, budgets: Sequence[Budget], settings: Search, seed: int,
        task: Task = CLASSIFICATION, pretrained: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.space, self.budgets, self.settings, self.seed = space, tuple(budgets), settings, seed
        self.data, self.task = data, task
        if settings.warm_start:
            if not isinstance(task, Classification):
                raise ValueError("search.warm_start: looks into the head of a classifier, which this task has not")
            if reason := warm_starts.misfit(settings.warm_start, space):
                raise ValueError(f"search.warm_start: {reason}")
        self.weight_batches, self.theta_batches = split_for_search(
            data,
            sides=settings.sides(len(data.y_train)),
            batch_size=settings.batch_size,
            seed=seed,
        )
        with seeded(seed, "supernet"):
            self.supernet = Supernet(space, settings.supernet, head=task.head)
        if pretrained is not None:
            load_pretrained(self.supernet, pretrained)
        self.supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
        self.plan = tuple(self._plan())
        self.step = 0
        self.expected_cost = ExpectedCost(budgets, self.supernet.theta.most_choices)
        self.objective = make(settings.objective)
        self.learning = [weight for weight in self.supernet.weights() if weight.requires_grad]  # a head may be frozen
        self.weight_optimizer = torch.optim.SGD(
            self.learning, settings.weight_lr, 0.9, weight_decay=1e-4, nesterov=True
        )
        self.theta_optimizer = torch.optim.Adam(self.supernet.theta.parameters(), settings.theta_lr, betas=(0.5, 0.999))
        self.paths = paths_within(self.supernet.theta, self.expected_cost)
        self.warm_start: WarmStart | None = None  # while it runs
        self._orders: dict[tuple[str, int], Tensor] = {}

    @property
    def knows_costs(self) -> bool:
        """Whether the logits of theta, not its tilt alone, have to do with what choices cost."""
        return self.objective.in_logits or self.settings.warm_start in warm_starts.OF_BUDGETS

    def _plan(self) -> Iterator[Step]:
        weight, theta = len(self.weight_batches), len(self.theta_batches)
        total, done = (self.settings.epochs - self.settings.warmup_epochs) * theta, 0
        for epoch in range(self.settings.epochs):
            wanted = 0 if epoch < self.settings.warmup_epochs else theta
            for number in range(weight):
                due = range(number * wanted // weight, (number + 1) * wanted // weight)
                last = number == weight - 1
                yield Step(epoch, False, number, number == 0, last and not due, done / total)
                for batch in due:
                    done += 1
                    yield Step(epoch, True, batch, False, last and batch == due[-1], done / total)

    def __iter__(self) -> Iterator[StepReport]:
        """Does the remaining steps, one report each. Raises FloatingPointError where the loss is no number."""
        while self.step < len(self.plan):
            step = self.plan[self.step]
            if step.begins_epoch and step.epoch == self.settings.warmup_epochs:
                yield from self._end_warmup()
            loss, metric = self._architecture_step(step) if step.architecture else self._weight_step(step)
            self.step += 1
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at step {self.step}: lower search.weight_lr or search.theta_lr"
                )
            yield self._report(step, loss, metric)

    def _report(self, step: Step, loss: float, metric: float) -> StepReport:
        data = {
            "epoch": step.epoch + 1,
            "loss": loss,
            self.task.metric_name: metric,
            "expected": self.expected(),
            "temperature": self.temperature(step),
        }
        distribution = self.probabilities() if step.ends_epoch else None
        return StepReport("search", self.step, len(self.plan), data, distribution)

    def _batch(self, batches: Batches, step: Step) -> tuple[Tensor, Tensor]:
        key = (batches.purpose, step.epoch)
        if key not in self._orders:
            self._orders = {k: order for k, order in self._orders.items() if k[1] == step.epoch}
            self._orders[key] = batches.order(step.epoch)
        return batches.batch(self._orders[key], step.batch)

    def _sample(self, step: Step, sampler: str) -> Sample:
        theta = self.supernet.theta
        if sampler == "sandwich":
            if (step.epoch * len(self.weight_batches) + step.batch) % 2 == 0:
                return theta.largest()
            return self.paths.sample("gumbel-hard", 1.0, self.seed, self.step)
        return theta.sample(sampler, self.temperature(step), self.seed, self.step)

    def _forward(self, batches: Batches, step: Step, sampler: str) -> tuple[Tensor, float]:
        x_NCHW, y_N = self._batch(batches, step)
        sample = self._sample(step, sampler)
        with seeded(self.seed, f"noise of step {self.step}"):  # a head of one's own may drop out
            output = self.supernet(x_NCHW, sample)
        return self.task.loss(output, y_N), float(self.task.metric(output.detach(), y_N).mean())

    def _end_warmup(self) -> Iterator[StepReport]:
        """Sorts widths and does what remains of the warm start; where that already began, widths are sorted."""
        if self.warm_start is None:
            self._sort_widths()
            if self.settings.warm_start is not None:
                self.warm_start = self._make_warm_start(self.settings.warm_start)
        if self.warm_start is not None:
            yield from self.warm_start
            self.warm_start.start()
            self.warm_start = None

    def _make_warm_start(self, name: str) -> WarmStart:
        part, batches = training_part(self.data, self.weight_batches), self.weight_batches
        return WARM_STARTS[name](
            Situation(self.supernet, self.paths, part, batches, self.settings, self.seed, self.task)
        )

    @property
    def warm_start_left(self) -> int:
        """Steps that remain of the warm start."""
        if self.warm_start is not None:
            return self.warm_start.steps_left
        is_ahead = self.step <= self.settings.warmup_epochs * len(self.weight_batches)
        return warm_starts.steps(self.settings, len(self.weight_batches)) if is_ahead else 0

    def _begin_epoch(self, step: Step) -> None:
        if step.progress >= SURE_AFTER:
            if self.supernet.theta.close_below(CLOSED_BELOW, CLOSED_BELOW_EVEN):
                self.objective.settle(self.supernet.theta, self.expected_cost, step.progress)
            self.paths = paths_within(self.supernet.theta, self.expected_cost)
        self.supernet.choose_survivors()

    @torch.no_grad()
    def _sort_widths(self) -> None:
        """Once, after the warm-up: momentum moves with the channels."""
        for tensor, dimension, order in self.supernet.sort_widths():
            momentum = self.weight_optimizer.state.get(tensor, {}).get("momentum_buffer")
            for moved in (tensor, momentum):
                if moved is not None:
                    moved.copy_(moved.index_select(dimension, order))

    def _weight_step(self, step: Step) -> tuple[float, float]:
        if step.begins_epoch:
            self._begin_epoch(step)
        self.supernet.train().theta.requires_grad_(False)
        for group in self.weight_optimizer.param_groups:
            group["lr"] = self.settings.weight_lr * 0.5 * (1 + math.cos(math.pi * self.step / len(self.plan)))
        loss, metric = self._forward(self.weight_batches, step, self.settings.weight_sampler)
        self.weight_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learning, 5.0)
        self.weight_optimizer.step()
        return loss.item(), metric

    def _architecture_step(self, step: Step) -> tuple[float, float]:
        theta = self.supernet.train().theta.requires_grad_(True)
        for weight in self.learning:
            weight.requires_grad_(False)
        loss, metric = self._forward(self.theta_batches, step, self.settings.sampler)
        share_C = self.expected_cost(theta.per_choice(theta.probabilities()))
        self.theta_optimizer.zero_grad(set_to_none=True)
        self.objective(loss, share_C).backward()  # type: ignore[no-untyped-call]
        self.theta_optimizer.step()
        self.objective.settle(theta, self.expected_cost, step.progress)
        for weight in self.learning:
            weight.requires_grad_(True)
        return loss.item(), metric

    def temperature(self, step: Step) -> float:
        """By the architecture steps done, so that a search of a single epoch cools too."""
        return self.settings.temperature.at(step.progress)

    def probabilities(self) -> dict[str, list[list[float]]]:
        """softmax of theta by categorical: a list a layer over its blocks, precisions, levels of zeros."""
        p = self.supernet.theta.probabilities()
        blocks = [row[: len(layer.blocks)] for layer, row in zip(self.space.layers, p.block.tolist(), strict=True)]
        return {"block": blocks, "precision": p.precision.tolist(), "level": p.level.tolist()}

    def expected(self) -> dict[str, float]:
        """Expected total of each budget, by the budget's name and in its unit (`search.objective`)."""
        share_C = self.objective.expected(self.supernet.theta, self.expected_cost).tolist()
        return {budget.name: share * budget.maximum for budget, share in zip(self.budgets, share_C, strict=True)}

    def finalists(
        self, count: int, budgets: Sequence[Budget] | None = None, scored: Matrix | None = None
    ) -> list[Indices]:
        """Of what theta thinks, and of worth as it was `scored` (search.finalists); within `budgets` where others count
        than those of the search.
        """
        worths = [self.supernet.theta.worth(), *([] if scored is None else [scored])]
        return finalists(self.space, worths, self.budgets if budgets is None else tuple(budgets), count)

    def state_dict(self) -> State:
        """All that the remaining steps depend on; random draws need no state."""
        return {
            "step": self.step,
            "supernet": dict(self.supernet.state_dict()),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "theta_optimizer": self.theta_optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "warm_start": None if self.warm_start is None else self.warm_start.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step = state["step"]
        self.supernet.load_state_dict(state["supernet"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.theta_optimizer.load_state_dict(state["theta_optimizer"])
        self.objective.load_state_dict(state["objective"])
        self.paths = paths_within(self.supernet.theta, self.expected_cost)
        if state["warm_start"] is not None and self.settings.warm_start is not None:
            self.warm_start = self._make_warm_start(self.settings.warm_start)
            self.warm_start.load_state_dict(state["warm_start"])
