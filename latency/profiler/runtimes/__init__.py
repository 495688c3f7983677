"""What runs the graphs that the profiler times: plug-ins by name.

A runtime is a class without arguments that follows `Runtime`, told by an entry point of the group `lutnas.runtimes`: a
vendor's runtime, or a board over ssh, is one file in a package of its own.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from latency.operator import Operator
from latency.profiler.errors import ProfilerError
from latency.weights import Weights

Call = Callable[[], object]
"""One call of a network, as a user's program makes it, on random pixels in [0, 1]; it ends when the result is there."""
GROUP = "lutnas.runtimes"
DEFAULT = "onnxruntime"


class Runtime(Protocol):
    """A way to run networks on this device. Making one raises ProfilerError where something is not installed."""

    name: str
    version: str
    computes_here: bool
    """Whether with one thread the calling thread does all the work, so that its CPU time tells the latency."""

    def refuse(self, operator: Operator) -> None:
        """Raises ProfilerError where the runtime has no graph of its own for `operator`."""

    def load(self, operators: Sequence[Operator], weights: Sequence[Weights], *, threads: int, seed: int) -> Call:
        """The graph that ships of `operators` one after another, batch 1. Raises ProfilerError."""
        ...

    def open(self, path: Path, *, threads: int, seed: int) -> Call:
        """An exported file. Raises ProfilerError."""
        ...


def runtime_names() -> list[str]:
    """Of the runtimes that are installed here."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def make_runtime(name: str) -> Runtime:
    """The runtime of a name. Raises ProfilerError where there is none, or where what it needs is not installed."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise ProfilerError(f"{name!r} is none of the runtimes {', '.join(runtime_names())}")
    return cast(Runtime, found[0].load()())


def refuse_simulated(operator: Operator) -> None:
    """Raises ProfilerError on an operator that would only be simulated in float."""
    if min(operator.weight_bits, operator.activation_bits) < 32 and not operator.is_integer:
        raise ProfilerError(
            f"{operator.key}: its rounding is simulated in float, which says nothing about integer kernels: "
            "profile fp32 and 8 bits of activations, and upload rows of fewer that the device itself measured"
        )
