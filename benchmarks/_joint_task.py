"""The space, the metrics and the budgets that joint search is judged by. Torch-free.

Metrics:
  size        bytes of the weights in their bits; 32 bits of bias and of scale a channel
  published   microseconds on MPIC by its published multiply-adds a cycle
  cpu         microseconds on the CPU that began, as profiled there in float32 and int8, changes between them included
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from latency.operator import Operator
from latency.published import MPIC, published_table
from latency.table import LatencyTable
from search.budget import Budget, reach
from search.budgets import sum_budget
from search.choices import Choices, Precision
from search.costs import macs, stored_bytes
from search.space import Layer, Space, parse

SPACE_FILE = Path(__file__).parent / "joint" / "space.json"
INT8, FLOAT = Precision(8, 8), Precision(32, 32)
CLOCK_MHZ = 100.0
PRECISIONS = {
    "size": ("w8a8", "w4a8", "w2a8"),
    "published": ("w8a8", "w4a8", "w4a4", "w2a2"),
    "cpu": ("fp32", "w8a8"),
}
METRICS = tuple(PRECISIONS)
PLAIN_KERNEL = 3
# A budget is what a call, stem and head take, and this share of the least that the layers can take in int8. From 1 on,
# int8 alone can hold it. On this CPU even the narrowest layers cost much, so there 2 would hold all but the greatest.
# How they were chosen: docs/decisions/0006-joint-quality.md.
BUDGET_SHARES = {"size": (1.5, 2.0, 3.0), "published": (1.5, 2.0, 3.0), "cpu": (1.2, 1.4, 1.6)}


Cost = Callable[[Operator], float]
WIDTHS = parse(SPACE_FILE.read_bytes()).choices.width


def offering(precisions: Sequence[str], widths: Sequence[float]) -> Space:
    """The space with these precisions and widths."""
    space = parse(SPACE_FILE.read_bytes())
    choices = {**space.choices.model_dump(), "precision": tuple(precisions), "width": tuple(widths)}
    return space.offering(Choices.model_validate(choices))


class Task(NamedTuple):
    """One budget of one metric. `cost` of an operator and `maximum` are in the metric's unit."""

    metric: str
    budget_share: float
    cost: Cost

    @property
    def precisions(self) -> tuple[str, ...]:
        """Names of the precisions that are offered."""
        return PRECISIONS[self.metric]

    @property
    def maximum(self) -> float:
        """The budget, see BUDGET_SHARES."""
        budget = sum_budget(self.metric, offering([INT8.name], WIDTHS), self.cost, math.inf)
        least, _ = reach(budget)
        return budget.fixed + self.budget_share * (least - budget.fixed)

    def budget(self, space: Space) -> Budget:
        """The task's budget over `space`."""
        return sum_budget(self.metric, space, self.cost, self.maximum)

    def float_budget(self, space: Space) -> Budget:
        """What a float32 `space` may take: half the way from the plain network at full width to the greatest. MPIC runs
        no float32: there it is multiply-adds.
        """
        cost = macs if self.metric == "published" else self.cost
        least, greatest = reach(sum_budget(self.metric, space, cost, math.inf))
        return sum_budget(self.metric, space, cost, (least + greatest) / 2)

    def factors(self) -> tuple[float, ...]:
        """The widths that one factor for the whole network may take: some networks hold the budget, not every one."""
        reaches = {width: reach(self.budget(offering(self.precisions, [width]))) for width in WIDTHS}
        return tuple(width for width, (least, greatest) in reaches.items() if least <= self.maximum < greatest)

    def compressions(self) -> tuple[tuple[str, float], ...]:
        """For each precision that can hold the budget the widest factor that does."""
        totals = {p: {width: plain_total(self.cost, width, p) for width in WIDTHS} for p in self.precisions}
        holding = {p: [width for width in WIDTHS if totals[p][width] <= self.maximum] for p in self.precisions}
        return tuple((precision, max(widths)) for precision, widths in holding.items() if widths)


@cache
def plain_total(cost: Cost, width: float, precision: str) -> float:
    """What k3 everywhere takes at one width and one precision."""
    space = offering([precision], [width])
    return sum_budget("plain", space, cost, math.inf).total([_plain(layer) for layer in space.layers])


def _plain(layer: Layer) -> int:
    return next(number for number, choice in enumerate(layer.choices) if choice.candidate.kernel == PLAIN_KERNEL)


def cost_of(metric: str, measured: LatencyTable | None) -> Cost:
    """What an operator costs by a metric; `cpu` needs the table of this machine."""
    if metric == "size":
        return stored_bytes
    if metric == "cpu":
        assert measured is not None, "cpu is judged by a table of this machine"
        return measured.latency_us
    operators = offering(PRECISIONS[metric], WIDTHS).operators()
    return published_table(MPIC, {o: macs(o) for o in operators}, clock_mhz=CLOCK_MHZ).latency_us
