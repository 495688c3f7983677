"""What it gains to search candidate, width and precision together, against choosing them one after the other.

Three metrics (benchmarks/_joint_task.py), three budgets each, three seeds; joint search and three baselines, tuned with
at least as many epochs (benchmarks/_joint_methods.py). Space, budgets and pictures leave widths room and no layer to
drop: docs/decisions/0006-joint-quality.md tells how they were chosen, and where joint search gains nothing. Every
derived network is trained in the same way from new weights, as FBNet trains its own (else a network is judged by how
much its supernet trained it, which the supernet of a small space does best), TRAININGS times, and tested on 46,000
pictures that no method sees. Its accuracy is the mean: one training says little of a narrow network of few bits.
`gain_points` is joint minus baseline in points of accuracy, paired by seed and budget; `ci_low` the lower end of the
mean's 95 % interval (Student's t). Pairs of one search share it, and may share a network, so the interval is too
narrow. `training_points` is the standard deviation of one training, by metric. `machines` are those that runs are of.

    ./run bench joint_quality --json --keep joint.jsonl --processes 2
    ./run bench joint_quality --json --judge joint.jsonl [FILE ...]

About three hours of CPU time a metric, and a minute more to profile this CPU. One thread a process. A
file of kept runs may go on on another machine: each run tells its own, and the table is that of the first.
"""

import io
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from benchmarks._joint_methods import FINISH, METHODS, PICTURES, SEARCH, Tuning, trained
from benchmarks._joint_pictures import pairs, untested
from benchmarks._joint_task import BUDGET_SHARES, INT8, METRICS, PRECISIONS, WIDTHS, Task, cost_of, offering
from benchmarks._kept import Kept, Run, code, read
from benchmarks._processes import pool
from benchmarks._reporting import parser, say, show
from latency.formats import read_csv, write_csv
from latency.profiler import profile
from search.architecture import Architecture
from search.finish import evaluated
from search.machine import use_threads
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


def gains(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Joint minus each baseline in points, over the pairs that are complete: mean and `ci_low` by metric."""
    accuracy = {
        (cell_of(one), result["budget_share"]): POINTS * result["accuracy"] for one in runs for result in one["results"]
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for metric in METRICS:
        for method in METHODS:
            both = [
                (accuracy[cell._replace(method="joint"), share], of_baseline)
                for (cell, share), of_baseline in accuracy.items()
                if cell.metric == metric
                and cell.method == method
                and (cell._replace(method="joint"), share) in accuracy
            ]
            if method != "joint" and len(both) > 1:
                differences = [ours - theirs for ours, theirs in both]
                figures = {"mean": statistics.fmean(differences), "ci_low": ci_low(differences)}
                found.setdefault(metric, {})[method] = {name: round(value, 3) for name, value in figures.items()}
    return found


def training_points(runs: Sequence[Run]) -> dict[str, float]:
    """Standard deviation of one training in points, by metric: over the trainings of each network, pooled. What several
    methods derived with one seed counts once.
    """
    variances: dict[str, dict[tuple[str, ...], float]] = {}
    for one in runs:
        for result in one["results"]:
            network = (str(one["seed"]), *result["derived"])
            variances.setdefault(one["metric"], {})[network] = statistics.variance(result["accuracies"])
    return {metric: round(POINTS * statistics.fmean(found.values()) ** 0.5, 3) for metric, found in variances.items()}


def ci_low(differences: Sequence[float]) -> float:
    """Lower end of the 95 % interval of a mean (Student's t)."""
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return statistics.fmean(differences) - float(stats.t.ppf(0.975, len(differences) - 1)) * error


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """All that is told of runs."""
    machines = sorted({str(one["environment"]["processor"]) for one in runs})
    return {"gain_points": gains(runs), "training_points": training_points(runs), "machines": machines, "runs": [*runs]}


def this_cpu() -> str:
    """The latencies of the space's operators, measured here, as CSV."""
    say("profiling this CPU")
    table = profile(list(offering(PRECISIONS["cpu"], WIDTHS).operators()), device="this-cpu")
    say(table.info.note)
    return "".join(write_csv(table.info, table.entries.items()))


def about(metrics: Sequence[str]) -> dict[str, Any]:
    """All that the accuracies depend on beside the table and the machine, which each run tells: runs of one benchmark
    may be of several machines, the table of this CPU is of the first.
    """
    return {
        "space": offering([INT8.name], WIDTHS).model_dump(mode="json"),
        "metrics": metrics,
        "search": SEARCH.model_dump(mode="json"),
        "finish": FINISH.model_dump(mode="json"),
        "pictures": PICTURES,
        "budgets": BUDGET_SHARES,
        "trainings": TRAININGS,
        "code": code(),
    }


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--keep", type=Path, metavar="FILE", help="finished runs, so that a stopped benchmark goes on")
    options.add_argument(
        "--judge", type=Path, nargs="+", metavar="FILE", help="figures of runs that were kept; trains nothing"
    )
    given = options.parse_args()
    if given.judge:
        kept_runs = [read(file) for file in given.judge]
        of_this_code = all(theirs["code"] == code() for theirs, _, _ in kept_runs)
        runs = [one for _, _, those in kept_runs for one in those]
        show({"of_this_code": of_this_code, **figures(runs)}, as_json=given.json)
        return
    use_threads(1)
    pairs(PICTURES)  # fetched once, before the processes start
    kept = Kept(given.keep, about(given.metrics), this_cpu if "cpu" in given.metrics else str)
    done = {cell_of(one) for one in kept.runs}
    todo = [cell for cell in cells(given.metrics, given.seeds) if cell not in done]
    for found in run_all(todo, kept.measured, given.processes):
        kept.add(found)
    show(figures(kept.runs), as_json=given.json)


if __name__ == "__main__":
    main()
