"""One run of `joint_quality`: a method at all budgets of a metric, what it derives trained and tested. All that the
accuracies depend on is here, in the other `_joint_*` files and in truth.py, and not how they are told.
"""

import io
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any, NamedTuple

from benchmarks._joint_methods import FINISH, METHODS, PICTURES, SEARCH, Tuning, trained
from benchmarks._joint_pictures import pairs, untested
from benchmarks._joint_task import BUDGET_SHARES, INT8, PRECISIONS, WIDTHS, Task, cost_of, offering
from benchmarks._kept import Run, code
from benchmarks._processes import pool
from benchmarks._reporting import say
from latency.formats import read_csv, write_csv
from latency.profiler import profile
from search.architecture import Architecture
from search.finish import evaluated
from search.network import Network
from workers.environment import environment

POINTS = 100.0
# Space, budgets and pictures were chosen with 0 to 5 in sight, the rate with 9, the batches with 1, the engine mended
# with 6 to 8, 12, 13, 15 and, as far as floats and 8 bits go, with 16.
FIRST_SEEDS = {"size": 16, "published": 16, "cpu": 19}
TRAININGS, BETWEEN_SEEDS = 2, 100


class Cell(NamedTuple):
    """One method at all budgets of a metric."""

    metric: str
    seed: int
    method: str


def cell_named(name: str) -> Cell:
    """That of METRIC:SEED:METHOD. Raises ValueError."""
    metric, seed, method = name.split(":")
    if metric not in FIRST_SEEDS or method not in METHODS:
        raise ValueError(f"{name}: no such metric or method")
    return Cell(metric, int(seed), method)


def cells(metrics: Sequence[str], seeds: int) -> list[Cell]:
    """All of them, pairs close together."""
    numbered = [(FIRST_SEEDS[metric] + number, metric) for number in range(seeds) for metric in metrics]
    return [Cell(metric, seed, method) for seed, metric in numbered for method in METHODS]


def cell_of(run: Run) -> Cell:
    """What a run was of."""
    return Cell(*(run[name] for name in Cell._fields))


def run(cell: Cell, table: str) -> Run:
    """Derives a network for each budget, trains and tests it. `table`: the CSV of this CPU. Seconds are CPU time."""
    cost = cost_of(cell.metric, read_csv(io.StringIO(table)) if cell.metric == "cpu" else None)
    tasks = [Task(cell.metric, share, cost) for share in BUDGET_SHARES[cell.metric]]
    begin = time.process_time()
    architectures = list(METHODS[cell.method](tasks, Tuning(untested(pairs(PICTURES)), cell.seed)))
    searched = time.process_time()
    results, accuracies = [], dict[Architecture, list[float]]()
    for task, architecture in zip(tasks, architectures, strict=True):
        if architecture not in accuracies:  # one network may be the best within several budgets
            accuracies[architecture] = [accuracy(architecture, seed) for seed in training_seeds(cell.seed)]
        total = task.budget(architecture.space).total(architecture.indices)
        assert total <= task.maximum, f"{cell} exceeds {task.maximum}"
        results.append(
            {
                "budget_share": task.budget_share,
                "used": round(total / task.maximum, 4),
                "derived": [choice.name for choice in architecture.layers],
                "accuracy": round(statistics.fmean(accuracies[architecture]), 5),
                "accuracies": accuracies[architecture],
            }
        )
    return {
        **cell._asdict(),
        "results": results,
        "search_seconds": round(searched - begin, 1),
        "finish_seconds": round((time.process_time() - searched) / len(accuracies) / TRAININGS, 1),
        "environment": environment(1),
    }


def training_seeds(seed: int) -> list[int]:
    """Those that what a search of `seed` derives is trained with. None is a search's, whose trials had that luck."""
    return [seed + number * BETWEEN_SEEDS for number in range(1, TRAININGS + 1)]


def accuracy(architecture: Architecture, seed: int) -> float:
    """Of a network once it is trained."""
    network = Network.new(architecture, seed)
    trained(network, pairs(PICTURES), FINISH, seed)
    return round(evaluated(network, pairs(PICTURES)), 5)


def run_all(todo: Sequence[Cell], table: str, processes: int) -> Iterator[Run]:
    """Runs in the order they finish; says how long the others take."""
    begin = time.monotonic()
    executor = pool(processes)
    try:
        running = {executor.submit(run, cell, table): cell for cell in todo}
        failed = list[BaseException]()
        for done, future in enumerate(as_completed(running), 1):
            if error := future.exception():
                failed.append(error)  # the others' runs are kept first
                say(f"{' '.join(map(str, running[future]))} failed: {error}")
                continue
            yield (found := future.result())
            minutes = (time.monotonic() - begin) / done * (len(todo) - done) / 60
            accuracies = " ".join(f"{POINTS * result['accuracy']:.2f}" for result in found["results"])
            say(
                f"{done} of {len(todo)}: {' '.join(map(str, cell_of(found)))}: {accuracies}; {minutes:.0f} minutes left"
            )
        if failed:
            raise BaseExceptionGroup("runs that failed", failed)
    finally:
        executor.shutdown(cancel_futures=True)


def this_cpu() -> str:
    """The latencies of the space's operators, measured here, as CSV."""
    say("profiling this CPU")
    table = profile(list(offering(PRECISIONS["cpu"], WIDTHS).operators()), device="this-cpu")
    say(table.info.note)
    return "".join(write_csv(table.info, table.entries.items()))


def about() -> dict[str, Any]:
    """All that the accuracies depend on beside the table and the machine, which each run tells: runs of one benchmark
    may be of several machines, the table of this CPU is of the first.
    """
    return {
        "space": offering([INT8.name], WIDTHS).model_dump(mode="json"),
        "search": SEARCH.model_dump(mode="json"),
        "finish": FINISH.model_dump(mode="json"),
        "pictures": PICTURES,
        "budgets": BUDGET_SHARES,
        "trainings": TRAININGS,
        "code": code("_joint_*.py", "truth.py"),
    }
