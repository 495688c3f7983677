"""What a finished search has learnt, from which new budgets are answered without training. Torch-free.

Errors:
    search.derive.Unreachable (ValueError)   no architecture holds the budgets
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from search.architecture import Architecture
from search.derive import Budget, pareto, solve_best, worth_of
from search.document import Document
from search.space import Space

DIGITS = 6
MOST_NOTED = 2000
PICTURES = 512  # at most, in one forward pass in batch statistics, which scores a sub-network
MOST_PICTURES = 2048  # finalists are close to each other: they are scored on several equal parts, others on the first
Worth = Annotated[float, Field(allow_inf_nan=False)]


def parts_scored(held_out: int) -> tuple[int, int]:
    """How many of the pictures held out finalists are scored on, and in how many parts."""
    count = min(held_out, MOST_PICTURES)
    return count, -(-count // PICTURES)


class Ranked(NamedTuple):
    """An architecture, its summed worth, and its total of each budget."""

    architecture: Architecture
    worth: float
    totals: tuple[float, ...]


class Evidence(Document):
    """`worth` of every choice of every layer of `space`, whatever the device: no latency is in it, so any table and
    any constraint can be asked for the best architecture under it.

    `worth` is how much less a loss is (`note` says which), or a log-probability by theta, estimated from `samples`
    scored sub-networks; `rank_correlation` is that of predicted with scored worth on sub-networks held out.
    """

    space: Space
    worth: tuple[tuple[Worth, ...], ...]
    samples: Annotated[int, Field(ge=0)]
    rank_correlation: Annotated[float, Field(ge=-1, le=1)] | None = None
    note: Annotated[str, Field(max_length=MOST_NOTED)] = ""

    @field_validator("worth", mode="after")
    @classmethod
    def _short(cls, worth_LK: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(round(worth, DIGITS) for worth in row) for row in worth_LK)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given, needed = [len(row) for row in self.worth], [len(layer.choices) for layer in self.space.layers]
        if given != needed:
            raise ValueError(f"worth: {given} values for the {needed} choices of the layers of {self.space.name}")
        return self

    def derive(self, budgets: Sequence[Budget], count: int = 1) -> list[Architecture]:
        """The `count` best architectures that hold every budget, best first; fewer where there are fewer."""
        return [ranked.architecture for ranked in self.rank(budgets, count)]

    def rank(self, budgets: Sequence[Budget], count: int = 1) -> list[Ranked]:
        """As `derive`, with the figures of each."""
        return [self._ranked(indices, budgets) for indices in solve_best(self.worth, budgets, count)]

    def front(self, budgets: Sequence[Budget], *, points: int = 12) -> list[Ranked]:
        """The front of worth against the first budget while the others hold, cheapest first: `search.derive.pareto`."""
        found = pareto(self.worth, budgets, points=points)
        return [self._ranked(solution.indices, budgets) for solution in found]

    def _ranked(self, indices: tuple[int, ...], budgets: Sequence[Budget]) -> Ranked:
        totals = tuple(budget.total(indices) for budget in budgets)
        return Ranked(Architecture.from_indices(self.space, indices), worth_of(self.worth, indices), totals)
