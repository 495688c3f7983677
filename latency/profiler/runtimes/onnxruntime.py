"""onnxruntime on the CPU, opened as `latency.onnx_session` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency.graph import chain
from latency.onnx_session import session
from latency.operator import Operator
from latency.profiler.errors import ProfilerError
from latency.profiler.runtimes import Call, refuse_simulated
from latency.weights import Weights

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxRuntime:
    """The CPU execution provider of onnxruntime. Raises ProfilerError where the package is missing."""

    name = "onnxruntime"
    computes_here = True

    def __init__(self) -> None:
        try:
            import onnx  # noqa: F401  # builds the graphs
            import onnxruntime
        except ImportError as error:
            raise ProfilerError(f"{error.name} is not installed: pip install 'lutnas[profiler]'") from error
        self.version: str = onnxruntime.__version__

    def refuse(self, operator: Operator) -> None:
        """See `Runtime`."""
        refuse_simulated(operator)

    def load(self, operators: Sequence[Operator], weights: Sequence[Weights], *, threads: int, seed: int) -> Call:
        """See `Runtime`."""
        names = [f"operator{number}" for number in range(len(operators))]
        return self._prepare(chain(operators, weights, names, batch=1).SerializeToString(), threads, seed)

    def open(self, path: Path, *, threads: int, seed: int) -> Call:
        """See `Runtime`. An input's open dimensions are taken as 1."""
        return self._prepare(path, threads, seed)

    def _prepare(self, model: bytes | Path, threads: int, seed: int) -> Call:
        try:
            opened = session(model, threads=threads)
        except Exception as error:  # onnxruntime's errors share no base of their own
            where = "a graph" if isinstance(model, bytes) else str(model)
            raise ProfilerError(f"{where}: onnxruntime {self.version} cannot load it: {error}") from error
        rng = np.random.default_rng(seed)
        feed = {node.name: _pixels(node, rng) for node in opened.get_inputs()}
        run = opened.run
        return lambda: run(None, feed)


def _pixels(node: Any, rng: np.random.Generator) -> np.ndarray:
    if node.type not in _DTYPES:
        raise ProfilerError(f"input {node.name} is {node.type}: only floating point pixels can be made up")
    shape = [size if isinstance(size, int) else 1 for size in node.shape]
    return rng.random(shape).astype(_DTYPES[node.type])
