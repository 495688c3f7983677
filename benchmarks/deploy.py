"""What ships: an int8 network with searched widths against its float selves, on Fashion-MNIST and fbnet-mini.

Profiles this CPU, searches block and width with everything in int8, stem and head included, trains what is derived,
exports it, runs all test pictures through onnxruntime and through integers alone, and times the file. `float` is the
same architecture in fp32, trained from the same weights of the supernet in the same way.

What it is sped up over, all in fp32 with the same kernels and skips: in `fp32_dense` every layer has its full width,
all channels of the weight that the layer's widths are parts of (an e3 is half of an e6: search.choices); in
`fp32_candidate` that of the candidate it is named after; in `fp32` the width that was derived.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch

from benchmarks._reporting import parser, say, show
from benchmarks._searches import latency_budgets
from benchmarks.truth import pictures
from latency.onnx_session import session
from latency.profiler import measure_model, profile
from search.architecture import Architecture
from search.choices import Choices
from search.executor import Executor
from search.export import onnx_model
from search.files import MODEL
from search.finish import Trainer, evaluated
from search.machine import use_threads
from search.network import Network
from search.run import SearchRun
from search.space import Space, preset
from search.spec import Finish, Search, SearchSpec
from search.unrounded import at_full_width, in_floats

WIDTHS = (1.0, 0.75, 0.5, 0.25)
BUDGET_SHARE = 0.08  # of the way from the least to the greatest latency of the space: where widths have to be narrow
SEARCH = Search(epochs=8, warmup_epochs=2)
FINISH = Finish(epochs=20)


def at_candidates_width(architecture: Architecture) -> Architecture:
    """The same candidates in fp32, each at its own full width."""
    return Architecture.of(in_floats(architecture).space, [choice.candidate for choice in architecture.layers])


def trained(network: Network, seed: int) -> Network:
    """Trained as a job trains."""
    trainer = Trainer(network, data=pictures(), settings=FINISH, seed=seed)
    for _ in trainer:
        pass
    trainer.settle()
    return network


def measured_us(network: Network, folder: Path) -> float:
    """Measured latency of the exported network."""
    path = folder / "measured.onnx"
    path.write_bytes(onnx_model(network).SerializeToString())
    return measure_model(path).latency_us


def derived(space: Space, seed: int) -> SearchRun:
    """A whole search and the training of what it derives."""
    say("profiling this CPU")
    table = profile(list(space.operators()), device="this-cpu")
    (budget,) = latency_budgets(table, space, [BUDGET_SHARE])
    spec = SearchSpec.model_validate(
        {
            "space": space.name, "dataset": "fashion-mnist", "seed": seed, "finish": FINISH.model_dump(),
            "constraints": [{"device": "table", "max_us": budget.maximum}], "search": SEARCH.model_dump(),
        }
    )  # fmt: skip
    run = SearchRun(spec, space=space, data=pictures(), budgets=[budget])
    for report in run:
        if report.step % 100 == 0:
            say(f"{report.phase} {report.step}")
    return run


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    use_threads(1)
    space = preset("fbnet-mini").offering(Choices(precision=("w8a8",), width=WIDTHS, ends="w8a8"))
    run, data = derived(space, given.seed), pictures()
    inherited = run.strategy.inherit(run.architecture.indices).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        result = run.export(Path(folder))
        content = (Path(folder) / MODEL).read_bytes()
        predicted = result.predicted["latency"]
        ours_us = measure_model(Path(folder) / MODEL).latency_us
        x_NCHW = data.x_test.astype(np.float32) / 255
        say("running the test pictures in integers alone")
        executed = Executor(onnx.load_from_string(content))(x_NCHW).argmax(1)
        theirs = by_onnxruntime(content, x_NCHW).argmax(1)
        say("training the same architecture in fp32")
        twin = Network(in_floats(run.architecture))
        twin.load_state_dict({name: inherited[name] for name in twin.state_dict()})
        float_accuracy = evaluated(trained(twin, given.seed), data)
        float_us = measured_us(twin, Path(folder))
        torch.manual_seed(0)
        candidate_us = measured_us(Network(at_candidates_width(run.architecture)), Path(folder))
        dense_us = measured_us(Network(at_full_width(run.architecture)), Path(folder))
    figures = {
        "derived": [choice.name for choice in run.architecture.layers],
        "accuracy": round(result.test_metric, 4),
        "float_accuracy": round(float_accuracy, 4),
        "accuracy_drop_vs_float": round(float_accuracy - result.test_metric, 4),
        "executor_mismatch": int((executed != theirs).sum()),
        "pictures": len(x_NCHW),
        "predicted_us": round(predicted, 1),
        "measured_us": round(ours_us, 1),
        "predicted_over_measured": round(predicted / ours_us, 3),
        "measured_speedup_vs_fp32_dense": round(dense_us / ours_us, 2),
        "measured_speedup_vs_fp32_candidate": round(candidate_us / ours_us, 2),
        "measured_speedup_vs_fp32": round(float_us / ours_us, 2),
    }
    show(figures, as_json=given.json)


def by_onnxruntime(content: bytes, x_NCHW: np.ndarray) -> np.ndarray:
    """Logits of the exported file."""
    return np.asarray(session(content).run(None, {"input": x_NCHW})[0])


if __name__ == "__main__":
    main()
