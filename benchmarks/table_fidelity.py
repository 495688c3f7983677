"""How far predicted latency is from measured latency, over random networks that no table has seen.

Profiles the space on this CPU, then times whole exported graphs end to end: one thread, batch 1, 10th percentile of
thread CPU time.
"""

import random
import statistics
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks._reporting import parser, say, show
from latency.estimate import predict_us
from latency.graph import chain
from latency.profiler import measure_model, profile
from latency.weights import random_weights
from search.architecture import Architecture
from search.space import Space, preset


def measured_us(architecture: Architecture, file: Path) -> float:
    """Measured latency of the architecture with random weights."""
    operators, rng = architecture.operators(), np.random.default_rng(0)
    weights = [random_weights(operator, rng) for operator in operators]
    model = chain(operators, weights, [f"layer{number}" for number in range(len(operators))], batch="batch")
    file.write_bytes(model.SerializeToString())
    return measure_model(file).latency_us


def random_architecture(space: Space, rng: random.Random) -> Architecture:
    """Each layer's candidate drawn evenly."""
    return Architecture.of(space, [rng.choice(layer.blocks).candidate.name for layer in space.layers])


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--space", default="fbnet-mini")
    options.add_argument("--networks", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    space, rng = preset(given.space), random.Random(given.seed)
    say(f"profiling {space.name}")
    table = profile(list(space.operators()), device="this-cpu")
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.networks):
            architecture = random_architecture(space, rng)
            predicted = predict_us(table, architecture.operators())
            measured = measured_us(architecture, Path(folder) / "model.onnx")
            pairs.append((predicted, measured))
            say(f"{number + 1} of {given.networks}: predicted {predicted:.1f} us, measured {measured:.1f} us")
    errors = sorted(abs(predicted / measured - 1) for predicted, measured in pairs)
    figures = {
        "space": space.name,
        "networks": len(pairs),
        "mape": round(statistics.mean(errors), 4),
        "worst": round(errors[-1], 4),
        "spearman": round(float(stats.spearmanr(pairs).statistic), 4),
        "range_us": [round(min(m for _, m in pairs), 1), round(max(m for _, m in pairs), 1)],
    }
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
