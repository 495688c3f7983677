"""How well one search hits its latency budget: five budgets, three seeds, one search each, never a second try.

On the table of this CPU for fbnet-mini, profiled in the run, and on every table that is given. What is expected under
theta when a search ends, its choices drawn one by one, and what its derived architecture takes by the table, against
the budget. A budget binds where the architecture that the search would like best without it exceeds it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._reporting import parser, say, show
from benchmarks._searches import latency_budgets, search_and_derive
from benchmarks._tables import covered, framed, read_table
from benchmarks.truth import pictures
from latency.profiler import profile
from latency.table import LatencyTable
from search.datasets import ImageData
from search.derive import Budget
from search.machine import use_threads
from search.objective import expected_shares
from search.space import Space, preset
from search.spec import Search

SEEDS = (0, 1, 2)
# Of the way from the least to the greatest predicted latency. Short searches seldom like anything beyond the last.
BUDGET_SHARES = (0.1, 0.15, 0.2, 0.25, 0.3)
OWN_SPACE = "fbnet-mini"
# The budget is judged here, not the accuracy: large spaces get few pictures.
SETTINGS = {
    "fbnet-mini": Search(epochs=4, warmup_epochs=1, batch_size=32, examples=3200),
    "fbnet-cifar": Search(epochs=5, warmup_epochs=1, batch_size=16, examples=160, theta_share=0.5),
}


class Run(NamedTuple):
    """One search. All latencies are microseconds by the table; `cheapest` and `dearest` are finalists."""

    device: str
    space: str
    seed: int
    budget_us: float
    expected_us: float
    favourite_us: float
    derived_us: float
    cheapest_us: float
    dearest_us: float

    @property
    def binds(self) -> bool:
        """Whether the search would have liked a slower network."""
        return self.favourite_us > self.budget_us

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        shares = {
            name: round(getattr(self, f"{name}_us") / self.budget_us, 4)
            for name in ("expected", "favourite", "derived", "cheapest", "dearest")
        }
        return {**self._asdict(), "binds": self.binds, "of_budget": shares}


def search_once(space: Space, device: str, *, data: ImageData, budget: Budget, settings: Search, seed: int) -> Run:
    """One search up to the derived architecture, as a job does it."""
    run = search_and_derive(space, budget, data=data, settings=settings, seed=seed)
    assert run.choosing.assessor is not None
    worth = run.searcher.supernet.theta.worth()
    assert run.choosing.assessor.finalists is not None
    (expected,) = expected_shares(run.searcher.supernet.theta, run.searcher.expected_cost).tolist()
    finalists_us = [budget.total(indices) for indices in run.choosing.assessor.finalists]
    return Run(
        device=device,
        space=space.name,
        seed=seed,
        budget_us=budget.maximum,
        expected_us=expected * budget.maximum,
        favourite_us=budget.total([row.index(max(row)) for row in worth]),
        derived_us=budget.total(run.architecture.indices),
        cheapest_us=min(finalists_us),
        dearest_us=max(finalists_us),
    )


def search_all(
    table: LatencyTable, space: Space, *, data: ImageData, settings: Search, seeds: Sequence[int] = SEEDS
) -> list[Run]:
    """A search for each budget and seed."""
    found = list[Run]()
    for budget in latency_budgets(table, space, BUDGET_SHARES):
        for seed in seeds:
            run = search_once(space, table.info.device, data=data, budget=budget, settings=settings, seed=seed)
            shares = run.figures()["of_budget"]
            say(f"{run.device}, {run.budget_us:.1f} us, seed {seed}: of the budget {shares}")
            found.append(run)
    return found


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The worst of all runs."""
    binding = [run for run in runs if run.binds]
    return {
        "searches": len(runs),
        "binding": len(binding),
        "expected_gap": max((abs(run.expected_us / run.budget_us - 1) for run in binding), default=None),
        "worst_overshoot": max(max(0.0, run.derived_us / run.budget_us - 1) for run in runs),
        "least_used": min((run.derived_us / run.budget_us for run in binding), default=None),
        "runs": [run.figures() for run in runs],
    }


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--cpu-table", type=Path, metavar="FILE", help="a table of this CPU, instead of profiling it")
    options.add_argument("--tables", type=Path, nargs="*", default=[], metavar="FILE", help="further devices")
    given = options.parse_args()
    use_threads(1)
    tables = [read_table(file) for file in given.tables]  # a wrong file is told before minutes are spent
    spaces = [covered(table, SETTINGS) for table in tables]
    own = preset(OWN_SPACE)
    if given.cpu_table is None:
        say(f"profiling {own.name}")
        tables.insert(0, profile(list(own.operators()), device="this-cpu"))
        spaces.insert(0, own)
    else:
        tables.insert(0, read_table(given.cpu_table))
        spaces.insert(0, covered(tables[0], [OWN_SPACE]))
    runs = list[Run]()
    for table, space in zip(tables, spaces, strict=True):
        data = framed(pictures(), space.input)
        runs += search_all(table, space, data=data, settings=SETTINGS[space.name])
    show(summary(runs), as_json=given.json)


if __name__ == "__main__":
    main()
