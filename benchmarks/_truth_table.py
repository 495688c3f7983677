"""The table of truth: the accuracy of every architecture of a small space, trained. Torch-free.

    truth = TruthTable.load()
    truth.accuracy(indices)             mean over seeds, of one architecture
    truth.standing(max_us)              what is best, and what is usual, within a budget
    truth.regret(indices, max_us)       accuracy that a search left lying

`benchmarks/truth.py` makes the data in `benchmarks/truth/`: space.json, latency.csv, rows.csv, about.json.
"""

import csv
import itertools
import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from latency.estimate import predict_us
from latency.formats import read_csv
from latency.table import LatencyTable
from search.architecture import Architecture
from search.space import Space, parse

FOLDER = Path(__file__).parent / "truth"
# Shares of the way from the least to the greatest predicted latency, fixed before any row was trained. Beyond the last,
# most architectures fit and the budget hardly binds.
BUDGET_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)
NEAR = 0.85  # of a budget: what spends this much of it has used it up
Indices = tuple[int, ...]


class Row(NamedTuple):
    """One trained architecture. `accuracies` are shares of the test pictures, one a seed."""

    candidates: tuple[str, ...]
    predicted_latency_us: float
    accuracies: tuple[float, ...]
    training_seconds: float

    @property
    def accuracy(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.accuracies)


class Standing(NamedTuple):
    """What a budget allows. Gaps are (best - median) in standard errors of a row.

    `best` is cross-fitted: chosen on the other seeds, scored on the one left out, averaged; the maximum over noisy rows
    would promise more than any search can find. `near_median` is over those that use up the budget: to beat it, a
    search has to spend its latency well, not only spend it.
    """

    max_us: float
    feasible: int
    best: float
    median: float
    gap_in_standard_errors: float
    near_median: float
    near_gap_in_standard_errors: float


class TruthTable:
    """Rows of every architecture of `space`, in the order of `itertools.product`, with the table that predicts them."""

    def __init__(self, space: Space, latencies: LatencyTable, rows: Mapping[Indices, Row], about: Mapping[str, Any]):
        self.space = space
        self.latencies = latencies
        self.about = about
        self.rows = {indices: rows[indices] for indices in every_architecture(space) if indices in rows}

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "TruthTable":
        """The table in `folder`, with as many rows as are there. Raises ValueError on rows of another space."""
        space, rows = parse((FOLDER / "space.json").read_bytes()), dict[Indices, Row]()
        for row in read_rows(folder / "rows.csv"):
            rows[Architecture.of(space, row.candidates).indices] = row
        with (folder / "latency.csv").open(newline="") as file:
            latencies = read_csv(file)
        return cls(space, latencies, rows, json.loads((folder / "about.json").read_text()))

    def missing(self) -> list[Indices]:
        """Architectures that were not trained yet."""
        return [indices for indices in every_architecture(self.space) if indices not in self.rows]

    def accuracy(self, indices: Sequence[int]) -> float:
        """Accuracy of the architecture with these choices, mean over seeds. Raises KeyError where it has no row."""
        return self.rows[tuple(indices)].accuracy

    def predicted_latency_us(self, indices: Sequence[int]) -> float:
        """Predicted latency of the architecture with these choices."""
        return predict_us(self.latencies, Architecture.from_indices(self.space, indices).operators())

    def feasible(self, max_us: float) -> list[Row]:
        """Rows within the budget. Raises ValueError where there are none."""
        found = [row for row in self.rows.values() if row.predicted_latency_us <= max_us]
        if not found:
            least = min(row.predicted_latency_us for row in self.rows.values())
            raise ValueError(f"no architecture is predicted within {max_us} us; the least is {least:.2f} us")
        return found

    @property
    def row_standard_error(self) -> float:
        """Standard error of a row's accuracy: deviation over seeds within rows, pooled, over the root of the seeds."""
        variance = statistics.fmean(statistics.variance(row.accuracies) for row in self.rows.values())
        return math.sqrt(variance / self.seeds)

    @property
    def seeds(self) -> int:
        """The number of seeds of each row."""
        return len(next(iter(self.rows.values())).accuracies)

    def best(self, max_us: float) -> float:
        """Cross-fitted accuracy of the best architecture within the budget (see `Standing`)."""
        rows = self.feasible(max_us)
        scores = []
        for seed in range(self.seeds):
            chosen = max(rows, key=lambda row: sum(row.accuracies) - row.accuracies[seed])
            scores.append(chosen.accuracies[seed])
        return statistics.fmean(scores)

    def median(self, max_us: float, least_us: float = 0.0) -> float:
        """Median accuracy of the architectures within the budget that use at least `least_us`."""
        return statistics.median(row.accuracy for row in self.feasible(max_us) if row.predicted_latency_us >= least_us)

    def regret(self, indices: Sequence[int], max_us: float) -> float:
        """Accuracy of the best architecture within the budget minus that of this one; noise may make it negative."""
        return self.best(max_us) - self.accuracy(indices)

    def standing(self, max_us: float) -> Standing:
        """What `max_us` allows."""
        best, median, near = self.best(max_us), self.median(max_us), self.median(max_us, NEAR * max_us)
        error = self.row_standard_error
        gaps = (best - median) / error, (best - near) / error
        return Standing(max_us, len(self.feasible(max_us)), best, median, gaps[0], near, gaps[1])

    def budgets_us(self) -> list[float]:
        """The five budgets that searches are judged by."""
        latencies = [row.predicted_latency_us for row in self.rows.values()]
        least, greatest = min(latencies), max(latencies)
        return [round(least + share * (greatest - least), 2) for share in BUDGET_SHARES]


def every_architecture(space: Space) -> Iterable[Indices]:
    """The choices of every architecture, in the order of the rows."""
    return itertools.product(*(range(len(layer.choices)) for layer in space.layers))


def read_rows(file: Path) -> list[Row]:
    """The rows of a file that `write_rows` wrote; none where there is no file yet."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [_row(cells) for cells in csv.DictReader(lines)]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Replaces `file` in one go: who is interrupted keeps what was there."""
    layers, seeds = len(rows[0].candidates), len(rows[0].accuracies)
    names = [f"layer{number}" for number in range(layers)], [f"accuracy_seed{number}" for number in range(seeds)]
    aside = file.with_suffix(".part")
    with aside.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names[0], "predicted_latency_us", *names[1], "training_seconds"])
        for row in rows:
            accuracies = (f"{accuracy:.4f}" for accuracy in row.accuracies)  # exact: there are 10,000 test pictures
            latency, seconds = f"{row.predicted_latency_us:.4f}", f"{row.training_seconds:.2f}"
            writer.writerow([*row.candidates, latency, *accuracies, seconds])
    os.replace(aside, file)


def _row(cells: Mapping[str, str]) -> Row:
    def of(prefix: str) -> list[str]:
        return [cell for name, cell in cells.items() if name.startswith(prefix)]

    accuracies = tuple(map(float, of("accuracy_seed")))
    return Row(tuple(of("layer")), float(cells["predicted_latency_us"]), accuracies, float(cells["training_seconds"]))
