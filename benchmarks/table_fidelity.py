"""How far predicted latency is from measured latency, over random networks that no table has seen.

Profiles the space in fp32 and int8, at three widths, on this CPU; then times whole networks as they are exported, one
thread, batch 1, 10th percentile of thread CPU time: a third of them in fp32, a third in int8, a third with a precision
for each layer, all of random blocks and widths. A correction is fitted on other networks, where it helps there.
"""

import random

import numpy as np

from benchmarks._reporting import parser, say, show
from latency.correction import calibrate, corrected
from latency.estimate import predict_us
from latency.operator import BASE
from latency.profiler import make_runtime, measure_networks, profile
from latency.table import LatencyTable
from latency.trust import trust
from search.architecture import Architecture
from search.choices import Choices
from search.space import Space, preset

KINDS = ("fp32", "w8a8", "mixed")
WIDTHS = (1.0, 0.75, 0.5)


def random_architecture(space: Space, kind: str, rng: random.Random) -> Architecture:
    """Each layer's block drawn evenly, then its precision: that of `kind`, or any."""
    indices = []
    for layer in space.layers:
        block = rng.choice(layer.blocks)
        fitting = [n for n, choice in enumerate(layer.choices) if choice.block == block]
        alike = [n for n in fitting if layer.choices[n].precision.name == kind]
        indices.append(rng.choice(alike or fitting))
    return Architecture.from_indices(space, indices)


def fidelity(runtime: str, space: Space, *, networks: int, seed: int) -> dict[str, object]:
    """The figures of one runtime."""
    say(f"profiling {space.name} by {runtime}")
    table = profile(list(space.operators()), device="this-cpu", runtime=runtime, seed=seed)
    say(table.info.note)
    rng = random.Random(seed)
    drawn = [random_architecture(space, KINDS[number % 3], rng) for number in range(2 * networks)]
    say(f"timing {len(drawn)} networks")
    timed = measure_networks([one.operators() for one in drawn], runtime=make_runtime(runtime))
    measured_N = np.array([one.latency_us for one in timed])

    def predicted(by: LatencyTable) -> np.ndarray:
        return np.array([predict_us(by, one.operators()) for one in drawn])

    others, judged = np.arange(networks, 2 * networks), np.arange(networks)
    before = predicted(table)
    correction = calibrate(before[others], measured_N[others], base_us=table.latency_us(BASE)).correction
    after = predicted(corrected(table, correction))
    found = trust(after[judged].tolist(), measured_N[judged].tolist())
    by_kind = {kind: after[judged][n::3] / measured_N[judged][n::3] - 1 for n, kind in enumerate(KINDS)}
    return {
        "mape": round(found.mape, 4),
        "p90": round(found.p90, 4),
        "worst": round(found.worst, 4),
        "spearman": None if found.spearman is None else round(found.spearman, 4),
        "range_us": [round(float(edge), 1) for edge in (measured_N[judged].min(), measured_N[judged].max())],
        "mape_uncorrected": round(trust(before[judged].tolist(), measured_N[judged].tolist()).mape, 4),
        "mape_by_precision": {kind: round(float(np.abs(errors).mean()), 4) for kind, errors in by_kind.items()},
        "settled": sum(one.settled for one in timed),
    }


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--space", default="fbnet-mini")
    options.add_argument("--networks", type=int, default=30)
    options.add_argument(
        "--beside", nargs="*", default=["litert"], metavar="RUNTIME", help="reported beside onnxruntime"
    )
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    space = preset(given.space).offering(Choices(precision=("fp32", "w8a8"), width=WIDTHS))
    first, *beside = (
        fidelity(runtime, space, networks=given.networks, seed=given.seed) for runtime in ("onnxruntime", *given.beside)
    )
    others = dict(zip(given.beside, beside, strict=True))
    show({"space": space.name, "networks": given.networks, **first, **others}, as_json=given.json)


if __name__ == "__main__":
    main()
