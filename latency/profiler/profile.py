"""A table of this machine: plan, time, share out."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from latency.operator import BASE, Operator
from latency.profiler.attribute import Vector, check, share
from latency.profiler.bench import Bench, room
from latency.profiler.draft import Draft
from latency.profiler.errors import ProfilerError
from latency.profiler.measure import Clocks, Patience, clocks, drift, pinned, settled, time_in_turns
from latency.profiler.plan import Plan, make_plan, paid
from latency.profiler.progress import Meter, Progress
from latency.profiler.runtimes import DEFAULT, make_runtime
from latency.table import Entry, FieldError, LatencyTable, TableInfo

PATIENCE = Patience(least=8.0, most=30.0)
LONGEST_NOTE = 1000
DRIFTED = 0.02  # as far as a graph's own floor is known


def profile(
    operators: Iterable[Operator],
    *,
    device: str,
    threads: int = 1,
    note: str = "",
    seed: int = 0,
    draft: Path | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
    runtime: str = DEFAULT,
    core: int | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> LatencyTable:
    """The latency of each of `operators` in a network, and of the base, by `runtime` on this machine, batch 1.

    Each row is the 10th percentile of thread CPU time (wall time with more threads), shared out from whole chains;
    p10 and p90 tell how far it moves when other chains are drawn. `progress` gets (done, total, seconds_left). A
    profile that was stopped goes on from `draft`, which the caller deletes once the table is kept. `core` is the one to
    stay on; `patience` is PATIENCE where none is given. Raises ProfilerError, and FieldError where `note`, of at most
    1000 characters, or `device` is none.
    """
    plan, ran_by = make_plan(tuple(operators), seed=seed), make_runtime(runtime)
    for operator in plan.operators:
        ran_by.refuse(operator)
    info = TableInfo(
        device=device, runtime=ran_by.name, runtime_version=ran_by.version, threads=threads, batch=1, note=note
    )  # refuses a bad name before minutes are spent
    if len(note) > LONGEST_NOTE:  # what is told of the profile comes after it
        raise FieldError("note", f"has {len(note)} characters; {LONGEST_NOTE} are taken")
    timers = clocks(threads if ran_by.computes_here else None)
    if core is not None and threads > 1:
        raise ProfilerError(f"core {core}: {threads} threads would wait for one another there: take one thread")
    fingerprint = plan.fingerprint(replace(info, note=""), platform.node(), timers.name, core)
    kept = Draft(draft, fingerprint, len(plan.graphs)) if draft else None
    bench = Bench(plan.graphs, ran_by, threads=threads, room=room())
    with pinned(core):
        samples, wall_share = _time(plan, bench, timers, kept, progress, patience or PATIENCE)
    measured_us = np.array([np.percentile(calls, 10) / 1000 for calls in samples])
    told = _tell(plan, measured_us, samples, f"{timers.name}{'' if core is None else f' on core {core}'}", wall_share)
    return LatencyTable(
        replace(info, measured_at=now().replace(microsecond=0), note=f"{note}; {told}" if note else told),
        _entries(plan, measured_us, samples, np.random.default_rng(seed)),
    )


def _time(
    plan: Plan,
    bench: Bench,
    timers: Clocks,
    draft: Draft | None,
    progress: Progress | None,
    patience: Patience,
) -> tuple[list[list[int]], float | None]:
    """Nanoseconds of each call of each graph of `plan`, and how much longer calls took on the wall; None where the
    draft had them all.
    """
    samples: list[list[int]] = [[] for _ in plan.graphs]
    bursts = [0] * len(samples)
    for burst in draft.read() if draft else ():
        samples[burst.graph].extend(burst.calls_ns)
        bursts[burst.graph] += 1
    meter = Meter(progress, bursts, patience, timers.wall) if progress else None
    wall, timed = 0.0, 0
    for burst in time_in_turns(bench, samples, bursts, patience, timers):
        wall, timed = wall + burst.wall_seconds, timed + sum(burst.calls_ns)
        if draft:
            draft.append(burst)
        if meter:
            meter.step()
    if meter:
        meter.finish()
    return samples, wall / (timed / 1e9) if timed else None


def _tell(plan: Plan, measured_us: Vector, samples: list[list[int]], timed_by: str, wall_share: float | None) -> str:
    """How the table came about, for its note."""
    on_wall = "" if wall_share is None else f", {wall_share:.2f} times that on the wall"
    told = [f"10th percentile of {timed_by}{on_wall}"]
    if len(plan.chains) >= 10:
        error = check(plan, measured_us)
        told.append(
            f"{error.chains} networks not used were predicted to {error.mean:.1%}, the worst to {error.worst:.1%}"
        )
    later = drift(samples)
    if abs(later) > DRIFTED:
        told.append(f"the machine was {abs(later):.1%} {'slower' if later > 0 else 'quicker'} in the later half")
    restless = sum(not settled(calls) for calls in samples)
    if restless:
        told.append(f"{restless} of {len(samples)} graphs did not settle: other work ran beside")
    return "; ".join(told)


def _entries(
    plan: Plan, measured_us: Vector, samples: list[list[int]], rng: np.random.Generator
) -> dict[Operator, Entry]:
    costs = share(plan, measured_us, rng)
    calls = dict.fromkeys(plan.rows, 0)
    for graph, timed in zip(plan.graphs, samples, strict=True):
        for operator in {*paid(graph), BASE} & calls.keys():
            calls[operator] += len(timed)
    columns = (vector.tolist() for vector in costs)
    return {
        operator: Entry(round(latency, 4), round(p10, 4), round(p90, 4), samples=calls[operator])
        for operator, latency, p10, p90 in zip(plan.rows, *columns, strict=True)
    }
