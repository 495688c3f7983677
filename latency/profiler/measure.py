"""Times calls in turns, in bursts, until the fastest tenth of each has settled.

A machine that does other work has fast and slow moments, 15 % apart and up to seconds long. So graphs take turns, and
time goes on until a tenth of each graph's calls fell into fast moments: until its 10th percentile is its floor.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from latency.profiler.errors import ProfilerError
from latency.profiler.runtimes import Call

Nanoseconds = Sequence[int]
WARM_UP = 3  # calls when a graph is loaded: memory is taken and kept then
BURST_NS = 5_000_000
LONGEST_BURST = 8
LEAST_ROUNDS = 12
TOLERANCE = 0.02
CHECK_SECONDS = 0.5
LEAST_HALVED = 24  # calls of a graph: two halves have a tenth each


class Clocks(NamedTuple):
    """What calls are timed by, in nanoseconds, under which name, and the seconds that pass on the wall."""

    timer: Callable[[], int]
    name: str
    wall: Callable[[], float]


def clocks(threads: int | None) -> Clocks:
    """CPU time of this thread where one thread does all the work; else (None: elsewhere), or where it ticks coarsely,
    wall time.
    """
    if threads == 1 and time.get_clock_info("thread_time").resolution < 1e-6:
        return Clocks(time.thread_time_ns, "thread CPU time", time.monotonic)
    return Clocks(time.perf_counter_ns, "wall time", time.monotonic)


class Patience(NamedTuple):
    """How long to time, loading apart: `least` seconds at any rate, `most` where calls do not settle. Every graph gets
    12 bursts.
    """

    least: float
    most: float


class Burst(NamedTuple):
    """A few calls of one graph, one after another, and the seconds that they took on the wall (0: not known)."""

    graph: int
    calls_ns: list[int]
    wall_seconds: float = 0.0


def settled(calls_ns: Nanoseconds) -> bool:
    """Whether the 10th percentile is the floor: the 2nd percentile lies no more than 2 % below it."""
    low, tenth = np.percentile(calls_ns, [2, 10])
    return bool(tenth - low <= TOLERANCE * tenth)


def drift(samples: Sequence[Nanoseconds]) -> float:
    """How much slower the later half of the calls was than the earlier one, at the 10th percentile: the median over
    graphs, each its own sentinel. 0.03 is 3 % slower; what a machine does that grows hot, or was slow at first.
    """
    halves = [(calls[: len(calls) // 2], calls[len(calls) // 2 :]) for calls in samples if len(calls) >= LEAST_HALVED]
    ratios = [np.percentile(later, 10) / np.percentile(earlier, 10) for earlier, later in halves]
    return float(np.median(ratios)) - 1.0 if ratios else 0.0


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keeps this process, and the threads that it starts, on one core for a while; None: leaves it alone. Raises
    ProfilerError where that cannot be.
    """
    if core is None:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ProfilerError("this system cannot keep a process on one core: leave the core away")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
    except (OSError, ValueError, OverflowError) as error:
        allowed = ", ".join(map(str, sorted(before)))
        raise ProfilerError(f"core {core}: {error}; this process may run on {allowed}") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def time_in_turns(
    load: Callable[[int], Call], samples: list[list[int]], bursts: list[int], patience: Patience, clocks: Clocks
) -> Iterator[Burst]:
    """Times `load(0)`, `load(1)`, ... in turns, adding to `samples` and giving each burst as it is done.

    `bursts` counts those of an earlier run that `samples` holds already: graphs after the others come first, and the
    time that went into them counts. Loading does not: it is done anew.
    """
    checked = clocks.wall()
    start = checked - sum(map(sum, samples)) / 1e9 * (1 + 1 / LONGEST_BURST)  # each burst has a call that is not timed
    round_number = 0
    while True:
        for graph, calls_ns in enumerate(samples):
            if bursts[graph] <= round_number:
                begun = clocks.wall()
                call = load(graph)
                start += clocks.wall() - begun
                burst = _burst(graph, call, _burst_size(calls_ns), clocks)
                calls_ns.extend(burst.calls_ns)
                bursts[graph] += 1
                yield burst
        round_number += 1
        elapsed = clocks.wall() - start
        if round_number < LEAST_ROUNDS or elapsed < patience.least:
            continue
        if elapsed >= patience.most:
            return
        if clocks.wall() - checked >= CHECK_SECONDS:
            if all(map(settled, samples)):
                return
            checked = clocks.wall()


def _burst_size(calls_ns: Nanoseconds) -> int:
    """As many calls as fit five milliseconds, at least one and at most eight."""
    return max(1, min(LONGEST_BURST, BURST_NS // max(1, min(calls_ns)))) if calls_ns else 1


def _burst(graph: int, call: Call, size: int, clocks: Clocks) -> Burst:
    call()  # the graph before left its own weights in the caches
    calls, begun = [], clocks.wall()
    for _ in range(size):
        start = clocks.timer()
        call()
        calls.append(clocks.timer() - start)
    return Burst(graph, calls, clocks.wall() - begun)
