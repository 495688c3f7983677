"""How long the exported network takes on the worker itself, beside what it is held against: the same in fp32, and in
fp32 at full width. The device may be another machine: `lutnas verify` measures there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from latency.profiler import measure_model
from latency.profiler.measure import Patience
from latency.profiler.runtimes import DEFAULT
from search.export import onnx_model
from search.files import MODEL, MODEL_FLOAT
from search.network import Network
from search.randomness import seeded
from search.report.card import NETWORK, Measured
from search.unrounded import at_full_width
from workers.environment import processor

PATIENCE = Patience(least=0.2, most=1.0)  # seconds a file: a figure to compare by, the device's own is measured there
IN_FLOAT, AT_FULL_WIDTH = "the same network in fp32", "its kernels in fp32 at full width, dense"


def measured_here(network: Network, files: Sequence[Path], folder: Path, *, threads: int) -> tuple[Measured, ...]:
    """One row a file; none where the network has no model.onnx. Writes what it needs beside into `folder`."""
    by_name = {file.name: file for file in files}
    if MODEL not in by_name:
        return ()
    where = f"on the worker: {processor()}, {DEFAULT}, {threads} thread{'s' * (threads > 1)}, batch 1"
    rows = _timed(network, by_name, folder)
    return tuple(
        Measured(what=what, latency_us=measure_model(path, threads=threads, patience=PATIENCE).latency_us, where=where)
        for what, path in rows
    )


def _timed(network: Network, by_name: dict[str, Path], folder: Path) -> Iterator[tuple[str, Path]]:
    yield NETWORK, by_name[MODEL]
    if MODEL_FLOAT in by_name:
        yield IN_FLOAT, by_name[MODEL_FLOAT]
    wide = at_full_width(network.architecture)
    if wide.layers != network.architecture.layers:
        with seeded(0, "full width"):  # weights do not change what a call takes
            path = folder / "full-width.onnx"
            path.write_bytes(onnx_model(Network(wide)).SerializeToString())
        yield AT_FULL_WIDTH, path
