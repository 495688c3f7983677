"""The table of truth: trains every architecture of a small space from new weights, several seeds each.

Against it, the regret of a search is looked up instead of argued about. The data stand in benchmarks/truth/; what is
missing there is trained, so a run that was stopped goes on, and a complete table is only judged. Another folder makes a
table of your own: 60 to 90 minutes of CPU time. One thread a process.
"""

import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from api.settings import Settings
from benchmarks._processes import pool
from benchmarks._reporting import parser, say, show
from benchmarks._truth_table import FOLDER, Indices, Row, TruthTable, every_architecture, write_rows
from latency.estimate import predict_us
from latency.formats import read_csv, write_csv
from latency.profiler import profile
from search.architecture import Architecture
from search.datasets import BUILT_IN, ImageData, load
from search.finish import Trainer, evaluated
from search.machine import use_threads
from search.network import Network
from search.randomness import permutation, seeded
from search.space import Space, parse
from search.spec import Finish
from workers.environment import environment

DATASET = "fashion-mnist"
PICTURES = 8000  # of the training set, the same for every row and seed
SEEDS = (0, 1, 2, 3)
RECIPE = Finish(epochs=2, batch_size=64, lr=0.1, weights="scratch")


class Trained(NamedTuple):
    """What one training gave."""

    accuracy: float
    seconds: float


@cache
def pictures(count: int = PICTURES) -> ImageData:
    """`count` fixed training pictures and all test pictures, once a process."""
    data, order = _everything()
    chosen = order[:count]
    return replace(data, x_train=data.x_train[chosen], y_train=data.y_train[chosen])


@cache
def others(count: int) -> ImageData:
    """As `pictures`, but tested on the training pictures that it leaves too: more tell networks apart better."""
    data, order = _everything()
    left = order[count:]
    more_x, more_y = (
        np.concatenate(both) for both in ((data.x_test, data.x_train[left]), (data.y_test, data.y_train[left]))
    )
    return replace(pictures(count), x_test=more_x, y_test=more_y)


@cache
def _everything() -> tuple[ImageData, np.ndarray]:
    """The data set, and the order that training pictures are taken in."""
    settings = Settings()
    data = load(DATASET, folder=settings.data_dir, say=say, source=settings.fashion_mnist)
    return data, permutation(len(data.y_train), 0, "truth pictures").numpy()


def train(architecture: Architecture, seed: int) -> Trained:
    """Trains from new weights and tests. The seconds are CPU time of the training alone."""
    data = pictures()
    with seeded(seed, "truth weights"):
        network = Network(architecture)
    begin = time.process_time()
    trainer = Trainer(network, data=data, settings=RECIPE, seed=seed)
    for _ in trainer:
        pass
    seconds = time.process_time() - begin
    trainer.settle()
    return Trained(evaluated(network, data), seconds)


def train_seeds(architecture: Architecture) -> list[Trained]:
    """One training for each seed."""
    return [train(architecture, seed) for seed in SEEDS]


def train_all(
    space: Space, todo: Sequence[Indices], processes: int
) -> Iterator[tuple[Indices, Architecture, list[Trained]]]:
    """Trains each architecture of `todo`, in the order they finish; says how long it still takes."""
    architectures = {indices: Architecture.from_indices(space, indices) for indices in todo}
    begin = time.monotonic()
    executor = pool(processes)
    try:
        running = {
            executor.submit(train_seeds, architecture): indices for indices, architecture in architectures.items()
        }
        for done, future in enumerate(as_completed(running), 1):
            indices, trained = running[future], future.result()
            yield indices, architectures[indices], trained
            accuracy = statistics.fmean(one.accuracy for one in trained)
            minutes = (time.monotonic() - begin) / done * (len(todo) - done) / 60
            names = " ".join(choice.name for choice in architectures[indices].layers)
            say(f"{done} of {len(todo)}: {accuracy:.4f} {names}; {minutes:.0f} minutes left")
    finally:
        executor.shutdown(cancel_futures=True)  # who stops waits for the rows that are being trained, not for all


def about(space: Space, latency_table: str) -> dict[str, Any]:
    """All that the accuracies depend on beside the code."""
    return {
        "space": space.name,
        "dataset": DATASET,
        "dataset_hash": BUILT_IN[DATASET].content_hash,
        "training_pictures": PICTURES,
        "test_pictures": BUILT_IN[DATASET].test_examples,
        "recipe": RECIPE.model_dump(),
        "seeds": list(SEEDS),
        "latency_table": latency_table,
        "environment": environment(1),
    }


def start(folder: Path) -> None:
    """Gives `folder` a latency table of this machine and an about.json, unless they are there."""
    space, latencies = parse((FOLDER / "space.json").read_bytes()), folder / "latency.csv"
    folder.mkdir(parents=True, exist_ok=True)
    if not latencies.exists():
        say(f"profiling {space.name}")
        table = profile(list(space.operators()), device="this-cpu")
        latencies.write_text("".join(write_csv(table.info, table.entries.items())))
    if not (folder / "about.json").exists():
        with latencies.open(newline="") as file:
            content_hash = read_csv(file).content_hash
        (folder / "about.json").write_text(json.dumps(about(space, content_hash), indent=2) + "\n")


def complete(folder: Path, processes: int) -> None:
    """Trains the rows that `folder` lacks. Raises ValueError where its rows were made in another way than ours."""
    table = TruthTable.load(folder)
    todo = table.missing()
    if not todo:
        return
    now = about(table.space, table.latencies.content_hash)
    if other := sorted(name for name in now if now[name] != table.about.get(name)):
        raise ValueError(f"{folder}: its rows differ in {', '.join(other)}: name another folder by --folder")
    random.Random(0).shuffle(todo)  # small and large networks mixed, so that the time left is told right
    rows = dict(table.rows)
    for indices, architecture, trained in train_all(table.space, todo, processes):
        rows[indices] = Row(
            tuple(choice.name for choice in architecture.layers),
            predict_us(table.latencies, architecture.operators()),
            tuple(one.accuracy for one in trained),
            statistics.fmean(one.seconds for one in trained),
        )
        write_rows(folder / "rows.csv", [rows[i] for i in every_architecture(table.space) if i in rows])


def recompute(table: TruthTable, count: int, seed: int, processes: int) -> dict[str, Any]:
    """Trains `count` random rows again. On the same processor, torch and code every accuracy is equal."""
    chosen = random.Random(seed).sample(list(table.rows), count)
    differences = []
    for indices, _, trained in train_all(table.space, chosen, processes):
        pairs = zip(trained, table.rows[indices].accuracies, strict=True)
        differences += [one.accuracy - kept for one, kept in pairs]
    return {
        "trainings": len(differences),
        "equal": sum(abs(difference) < 1e-6 for difference in differences),
        "mean_difference": round(statistics.fmean(differences), 5),
        "greatest_difference": round(max(map(abs, differences)), 4),
        "same_environment": table.about["environment"] == environment(1),
    }


def figures_of(table: TruthTable) -> dict[str, Any]:
    """What the table can tell apart."""
    accuracies = [row.accuracy for row in table.rows.values()]
    spread = {"min": min(accuracies), "median": statistics.median(accuracies), "max": max(accuracies)}
    standings = [table.standing(max_us)._asdict() for max_us in table.budgets_us()]
    return {
        "architectures": len(table.rows),
        "seeds": table.seeds,
        "accuracy": {name: round(value, 4) for name, value in spread.items()},
        "row_standard_error": round(table.row_standard_error, 5),
        "budgets": [{name: round(value, 4) for name, value in standing.items()} for standing in standings],
        "training_seconds": round(statistics.fmean(row.training_seconds for row in table.rows.values()), 2),
        "made_on": table.about["environment"],
    }


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, default=FOLDER, help="where the table stands, or is made")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--recompute", type=int, default=0, metavar="N", help="train N random rows again and compare")
    options.add_argument("--seed", type=int, default=0, help="draws the rows of --recompute")
    given = options.parse_args()
    use_threads(1)
    start(given.folder)
    complete(given.folder, given.processes)
    table = TruthTable.load(given.folder)
    figures = figures_of(table)
    if given.recompute:
        figures["recomputed"] = recompute(table, given.recompute, given.seed, given.processes)
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
