"""LiteRT, once TensorFlow Lite, on the CPU: XNNPACK where it has a kernel, as its interpreter comes."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from latency.operator import Operator
from latency.profiler.errors import ProfilerError
from latency.profiler.runtimes import Call, refuse_simulated
from latency.tflite import chain
from latency.weights import Weights


class LiteRuntime:
    """The interpreter of ai-edge-litert. Raises ProfilerError where the package is missing."""

    name = "litert"
    computes_here = True

    def __init__(self) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ProfilerError("ai-edge-litert is not installed: pip install 'lutnas[litert]'") from error
        self._interpreter: Any = Interpreter
        self.version = version("ai-edge-litert")

    def refuse(self, operator: Operator) -> None:
        """See `Runtime`."""
        refuse_simulated(operator)

    def load(self, operators: Sequence[Operator], weights: Sequence[Weights], *, threads: int, seed: int) -> Call:
        """See `Runtime`."""
        names = [f"operator{number}" for number in range(len(operators))]
        return self._prepare(chain(operators, weights, names), "a graph", threads, seed)

    def open(self, path: Path, *, threads: int, seed: int) -> Call:
        """See `Runtime`."""
        return self._prepare(path.read_bytes(), str(path), threads, seed)

    def _prepare(self, content: bytes, where: str, threads: int, seed: int) -> Call:
        try:
            interpreter = self._interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ProfilerError(f"{where}: LiteRT {self.version} cannot load it: {error}") from error
        (told,) = interpreter.get_input_details()
        (given,) = interpreter.get_output_details()
        if told["dtype"] != np.float32:
            raise ProfilerError(f"{where}: its input is {told['dtype'].__name__}: only float32 pixels can be made up")
        pixels = np.random.default_rng(seed).random(tuple(told["shape"])).astype(np.float32)

        def call() -> object:
            interpreter.set_tensor(told["index"], pixels)
            interpreter.invoke()
            return interpreter.get_tensor(given["index"])

        return call
