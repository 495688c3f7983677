"""What runs the graphs that the profiler times, one module a runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Call = Callable[[], object]
"""One call of a network, as a user's program makes it."""


class Runtime(Protocol):
    """A way to run ONNX graphs on this machine."""

    name: str
    version: str

    def prepare(self, model: bytes | Path, *, threads: int, seed: int) -> Call:
        """Loads `model` and gives a call of it on random pixels in [0, 1]. Raises ProfilerError."""
        ...
