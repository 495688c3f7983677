"""What it gains to search candidate, width and precision together, against choosing them one after the other.

Three metrics (benchmarks/_joint_task.py), three budgets each, three seeds; joint search and three baselines, tuned with
at least as many epochs (benchmarks/_joint_methods.py). Space, budgets and pictures leave widths room and no layer to
drop: docs/decisions/0006-joint-quality.md tells how they were chosen, and where joint search gains nothing. Every
derived network is trained in the same way from new weights, as FBNet trains its own (else a network is judged by how
much its supernet trained it, which the supernet of a small space does best), TRAININGS times, and tested on 46,000
pictures that no method sees. Its accuracy is the mean: one training says little of a narrow network of few bits.
`gain_points` is joint minus baseline in points of accuracy, paired by seed and budget; `ci_low` the lower end of the
mean's 95 % interval (Student's t). Pairs of one search share it, and may share a network, so that interval is too
narrow: `by_seed` has the means of each, `ci_low_by_seed` the lower end by those, which for three is very wide.
`search_seconds` is the CPU time of a method, trials included, by metric: epochs are equal, seconds are not.
`used` is what their networks take of the budget.
`training_points` is the standard deviation of one training, by metric. `machines` are those that runs are of, `codes`
how many are of which code.

    ./run bench joint_quality --json --keep joint.jsonl --processes 2
    ./run bench joint_quality --json --keep joint.jsonl --cells size:16:joint size:16:uniform_int8
    ./run bench joint_quality --json --judge joint.jsonl [FILE ...]

About three hours of CPU time a metric, and a minute more to profile this CPU. One thread a process. A
file of kept runs may go on on another machine: each run tells its own, and the table is that of the first.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks._joint_methods import METHODS, PICTURES
from benchmarks._joint_pictures import pairs
from benchmarks._joint_runs import POINTS, Cell, about, cell_named, cell_of, cells, run_all, this_cpu
from benchmarks._joint_task import METRICS
from benchmarks._kept import Kept, Run, read
from benchmarks._reporting import parser, show
from search.machine import use_threads


def gains(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """Joint minus each baseline in points, over the pairs that are complete, by metric."""
    accuracy = {
        (cell_of(one), result["budget_share"]): POINTS * result["accuracy"] for one in runs for result in one["results"]
    }
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for metric in METRICS:
        for method in METHODS:
            differences: dict[int, list[float]] = {}
            for (cell, share), of_baseline in accuracy.items():
                ours = accuracy.get((cell._replace(method="joint"), share))
                if (cell.metric, cell.method) == (metric, method) and method != "joint" and ours is not None:
                    differences.setdefault(cell.seed, []).append(ours - of_baseline)
            if differences:
                found.setdefault(metric, {})[method] = _told(differences)
    return found


def _told(differences: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Of differences by seed."""
    every = [one for row in differences.values() for one in row]
    means = {str(seed): statistics.fmean(row) for seed, row in sorted(differences.items())}
    return {
        "pairs": len(every),
        "mean": round(statistics.fmean(every), 3),
        "ci_low": ci_low(every),
        "by_seed": {seed: round(mean, 3) for seed, mean in means.items()},
        "ci_low_by_seed": ci_low([*means.values()]),
    }


def search_seconds(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """CPU time of each method in the mean of its runs, by metric."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in runs:
        found.setdefault(one["metric"], {}).setdefault(one["method"], []).append(one["search_seconds"])
    return {metric: {m: round(statistics.fmean(s), 1) for m, s in row.items()} for metric, row in found.items()}


def used(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and least share of the budget that each method's networks take, by metric: what is compared at equal size or
    latency is so as far as the baselines can spend it, which a single factor for all layers cannot always.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for one in runs:
        shares = [result["used"] for result in one["results"]]
        found.setdefault(one["metric"], {}).setdefault(one["method"], []).extend(shares)
    return {
        metric: {m: {"mean": round(statistics.fmean(s), 3), "least": min(s)} for m, s in row.items()}
        for metric, row in found.items()
    }


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


def ci_low(differences: Sequence[float]) -> float | None:
    """Lower end of the 95 % interval of a mean (Student's t); None where one difference says nothing of it."""
    if len(differences) < 2:
        return None
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return round(statistics.fmean(differences) - float(stats.t.ppf(0.975, len(differences) - 1)) * error, 3)


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """All that is told of runs."""
    machines = sorted({str(one["environment"]["processor"]) for one in runs})
    return {
        "gain_points": gains(runs), "used": used(runs), "training_points": training_points(runs),
        "search_seconds": search_seconds(runs),
        "machines": machines, "runs": [*runs],
    }  # fmt: skip


def judged(files: Sequence[Path]) -> dict[str, Any]:
    """Figures of the runs in several files. Raises ValueError where their runs cannot stand side by side."""
    runs, codes, made_by, of_file = list[Run](), Counter[str](), dict[tuple[str, int], Any](), dict[Cell, Path]()
    settings: dict[str, Any] = {}
    for file in files:
        theirs, measured, kept = read(file)
        for name, value in theirs.items():
            if name not in ("code", "metrics") and settings.setdefault(name, value) != value:
                raise ValueError(f"{file}: its runs differ in {name} from those of {files[0]}: judge them apart")
        for one in kept:
            cell = cell_of(one)
            if of_file.setdefault(cell, file) != file:
                raise ValueError(f"{file}: the run {cell} stands in {of_file[cell]} as well")
            how = theirs.get("code"), measured if cell.metric == "cpu" else ""
            if made_by.setdefault((cell.metric, cell.seed), how) != how:
                raise ValueError(f"{file}: {cell} is of other code, or another table, than what it is paired with")
        runs += kept
        codes[str(theirs.get("code"))] += len(kept)
    return {"of_this_code": set(codes) == {about()["code"]}, "codes": dict(codes), **figures(runs)}


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS)
    options.add_argument("--cells", type=cell_named, nargs="+", metavar="METRIC:SEED:METHOD", help="these runs alone")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--keep", type=Path, metavar="FILE", help="finished runs, so that a stopped benchmark goes on")
    options.add_argument(
        "--judge", type=Path, nargs="+", metavar="FILE", help="figures of runs that were kept; trains nothing"
    )
    given = options.parse_args()
    if given.judge:
        show(judged(given.judge), as_json=given.json)
        return
    use_threads(1)
    pairs(PICTURES)  # fetched once, before the processes start
    wanted = given.cells or cells(given.metrics, given.seeds)
    kept = Kept(given.keep, about(), this_cpu)
    done = {cell_of(one) for one in kept.runs}
    todo = [cell for cell in wanted if cell not in done]
    for found in run_all(todo, kept.measured, given.processes):
        kept.add(found)
    show(figures(kept.runs), as_json=given.json)


if __name__ == "__main__":
    main()
