"""Latency budgets, and a search under one up to its derived architecture: what benchmarks of searches share."""

from collections.abc import Sequence

from latency.table import LatencyTable
from search.budgets import sum_budget
from search.datasets import ImageData
from search.derive import Budget, reach
from search.run import SearchRun
from search.space import Space
from search.spec import Search, SearchSpec


def latency_budgets(table: LatencyTable, space: Space, shares: Sequence[float]) -> list[Budget]:
    """Budgets at these shares of the way from the least to the greatest predicted latency of the space."""
    least, greatest = reach(sum_budget("latency", space, table.latency_us, 1.0))
    maxima = [least + share * (greatest - least) for share in shares]
    return [sum_budget("latency", space, table.latency_us, maximum) for maximum in maxima]


def search_and_derive(space: Space, budget: Budget, *, data: ImageData, settings: Search, seed: int) -> SearchRun:
    """A job as far as its derived architecture, untrained."""
    spec = SearchSpec.model_validate(
        {
            "space": space.name,
            "dataset": data.name,
            "seed": seed,
            "constraints": [{"device": "table", "max_us": budget.maximum}],
            "search": settings.model_dump(),
        }
    )
    run = SearchRun(spec, space=space, data=data, budgets=[budget])
    next(report for report in run if report.phase == "derive")
    return run
