"""What sizes the grids while a network learns: statistics, or steps learnt by LSQ or PACT (search.quantizers.learning).

Networks of the space of joint_quality (k3 blocks at a third of their width), all layers in one precision, 24 epochs of
8,000 pictures from new weights; per cent of the 10,000 test pictures, mean over seeds, and the
greatest difference between two seeds. `step_ratio` is the CPU time of a training step over that with statistics, w4a4,
turn by turn in one process.

    ./run bench quantizers --json --processes 2

Half an hour of CPU time. One thread a process.
"""

import itertools
import statistics
import time
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._joint_methods import FINISH as JOINT_FINISH
from benchmarks._joint_methods import trained
from benchmarks._joint_task import PLAIN_KERNEL, offering
from benchmarks._kept import Kept, Run, code
from benchmarks._processes import pool
from benchmarks._reporting import parser, say, show
from benchmarks.truth import PICTURES, pictures
from search.architecture import Architecture
from search.finish import Trainer, evaluated
from search.machine import use_threads
from search.network import Network
from search.spec import Finish
from workers.environment import environment

WIDTH = 0.333
PRECISIONS = ("w8a8", "w4a4", "w2a2")
QUANTIZERS = ("statistics", "lsq", "pact")
TURNS = 100
FINISH = JOINT_FINISH.model_copy(update={"epochs": 24, "lr": 0.1})


class Cell(NamedTuple):
    """One training."""

    precision: str
    quantizer: str
    seed: int


def network_of(cell: Cell) -> Network:
    """With new weights."""
    space = offering([cell.precision], [WIDTH])
    plain = [
        next(index for index, choice in enumerate(layer.choices) if choice.candidate.kernel == PLAIN_KERNEL)
        for layer in space.layers
    ]
    return Network.new(Architecture.from_indices(space, plain), cell.seed)


def settings_of(cell: Cell) -> Finish:
    """How it is trained."""
    return FINISH.model_copy(update={"quantizer": cell.quantizer})


def run(cell: Cell) -> Run:
    """Trains the network and tests it."""
    network = network_of(cell)
    trained(network, pictures(), settings_of(cell), cell.seed)
    return {**cell._asdict(), "accuracy": round(100 * evaluated(network, pictures()), 2)}


def step_ratios() -> dict[str, float]:
    """What a step takes, over what it takes with statistics."""
    cells = [Cell("w4a4", quantizer, 0) for quantizer in QUANTIZERS]
    trainers = [iter(Trainer(network_of(c), data=pictures(), settings=settings_of(c), seed=0)) for c in cells]
    taken = [0.0] * len(cells)
    for turn in range(TURNS):
        for number, trainer in enumerate(trainers):
            begin = time.process_time()
            next(trainer)
            if turn >= TURNS // 10:  # the first compile kernels
                taken[number] += time.process_time() - begin
    return {cell.quantizer: round(seconds / taken[0], 2) for cell, seconds in zip(cells, taken, strict=True)}


def figures(runs: list[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and spread over the seeds, by precision and quantiser."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for precision, quantizer in itertools.product(PRECISIONS, QUANTIZERS):
        accuracies = [r["accuracy"] for r in runs if (r["precision"], r["quantizer"]) == (precision, quantizer)]
        if accuracies:
            figure = {"mean": statistics.fmean(accuracies), "spread": max(accuracies) - min(accuracies)}
            found.setdefault(precision, {})[quantizer] = {name: round(value, 2) for name, value in figure.items()}
    return found


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--keep", type=Path, metavar="FILE", help="finished runs, so that a stopped benchmark goes on")
    given = options.parse_args()
    use_threads(1)
    pictures()  # fetched once, before the processes start
    about: dict[str, Any] = {
        "finish": FINISH.model_dump(mode="json"), "pictures": PICTURES, "environment": environment(1),
        "code": code("quantizers.py", "_joint_*.py", "truth.py"),
    }  # fmt: skip
    kept = Kept(given.keep, about, str)
    done = {Cell(*(one[name] for name in Cell._fields)) for one in kept.runs}
    cells = [Cell(*each) for each in itertools.product(PRECISIONS, QUANTIZERS, range(given.seeds))]
    executor = pool(given.processes)
    try:
        todo = [executor.submit(run, cell) for cell in cells if cell not in done]
        for future in as_completed(todo):
            found = future.result()
            kept.add(found)
            say(f"{len(kept.runs)} of {len(cells)}: {found}")
    finally:
        executor.shutdown(cancel_futures=True)
    show({"accuracy": figures(kept.runs), "step_ratio": step_ratios(), "runs": kept.runs}, as_json=given.json)


if __name__ == "__main__":
    main()
