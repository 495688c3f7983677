"""Whole networks of a space, timed in turns as the operators of a table are: what a table is calibrated by."""

from collections.abc import Sequence

from latency.operator import Operator
from latency.profiler.bench import Bench, room
from latency.profiler.errors import ProfilerError
from latency.profiler.measure import Patience, clocks, time_in_turns
from latency.profiler.model import Measurement, measurement
from latency.profiler.progress import Meter, Progress
from latency.profiler.runtimes import Runtime

PATIENCE = Patience(least=6.0, most=45.0)


def measure_networks(
    networks: Sequence[Sequence[Operator]],
    *,
    runtime: Runtime,
    threads: int = 1,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> list[Measurement]:
    """Measured latency of each of `networks`, operators in order from stem to head, with random weights, batch 1.

    Networks take turns, so that a busy moment hits all of them alike. `progress` gets (done, total, seconds_left).
    `patience` is PATIENCE where none is given. Raises ProfilerError.
    """
    if not networks:
        raise ProfilerError("there are no networks to time")
    for operator in dict.fromkeys(operator for network in networks for operator in network):
        runtime.refuse(operator)
    patience = patience or PATIENCE
    timers = clocks(threads if runtime.computes_here else None)
    bench = Bench([tuple(network) for network in networks], runtime, threads=threads, room=room())
    samples: list[list[int]] = [[] for _ in networks]
    bursts = [0] * len(samples)
    meter = Meter(progress, bursts, patience, timers.wall) if progress else None
    for _ in time_in_turns(bench, samples, bursts, patience, timers):
        if meter:
            meter.step()
    if meter:
        meter.finish()
    return [measurement(calls_ns) for calls_ns in samples]
