"""A whole exported network, measured as the operators of a table are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from latency.profiler.measure import WARM_UP, Clocks, Nanoseconds, Patience, clocks, settled, time_in_turns
from latency.profiler.runtimes import DEFAULT, make_runtime

PATIENCE = Patience(least=4.0, most=20.0)


class Measurement(NamedTuple):
    """Measured latency: the 10th percentile over `samples` calls, with the spread beside. `settled` if it is the floor.

    Not `settled`, other work on the machine may have slowed all calls.
    """

    latency_us: float
    p10_us: float
    p50_us: float
    p90_us: float
    samples: int
    settled: bool


def measure_model(
    path: Path, *, threads: int = 1, seed: int = 0, patience: Patience | None = None, timers: Clocks | None = None,
    runtime: str = DEFAULT,
) -> Measurement:  # fmt: skip
    """Times the file at `path` on random pixels in [0, 1], batch 1, by `runtime` on this machine.

    Thread CPU time for one thread, wall time for more. `patience` is PATIENCE where none is given. Raises
    ProfilerError.
    """
    ran_by = make_runtime(runtime)
    call = ran_by.open(path, threads=threads, seed=seed)
    for _ in range(WARM_UP):
        call()
    samples: list[list[int]] = [[]]
    for _ in time_in_turns(
        lambda _: call, samples, [0], patience or PATIENCE, timers or clocks(threads if ran_by.computes_here else None)
    ):
        pass
    return measurement(samples[0])


def measurement(calls_ns: Nanoseconds) -> Measurement:
    """What the calls of one network tell."""
    p10, p50, p90 = (np.percentile(calls_ns, [10, 50, 90]) / 1000).tolist()
    return Measurement(p10, p10, p50, p90, len(calls_ns), settled(calls_ns))
