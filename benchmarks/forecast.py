"""How far off a job's forecast is, as `/validate` tells it: peak memory of its process, and CPU seconds.

Three jobs on Fashion-MNIST in small, from the first step to the exported files, a process of its own each, one thread:
blocks alone on fbnet-mini, widths and bits and zeros beside them, and FBNet's 22 layers (fbnet-cifar). Memory is the
greatest resident size of the process (Linux), which holds all of Fashion-MNIST besides, some 90 MB. Seconds are
expected twice: by the constant that a service begins with, and by the pace of the first job, as a service that has had
one does. Ratios are of expected over actual: above 1 the forecast was careful.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from api.jobs.forecasting import measured_pace
from benchmarks._processes import pool
from benchmarks._reporting import parser, say, show
from benchmarks._tables import framed
from benchmarks.truth import pictures
from search.budget import reach
from search.budgets import budgets_of
from search.choices import Choices, Sparsity
from search.forecast import Pace, Workload, stated_pace, workload
from search.run import SearchRun
from search.space import Space, preset
from search.spec import SearchSpec


class Job(NamedTuple):
    """A space, what a layer chooses beside its block, and how many pictures there are."""

    space: str
    choices: Choices
    examples: int


JOINT = Choices(precision=("fp32", "w8a8"), width=(1, 0.5), sparsity=Sparsity(levels=(0, 0.5)))
JOBS = {
    "blocks": Job("fbnet-mini", Choices(), 4000),
    "joint": Job("fbnet-mini", JOINT, 4000),
    "large": Job("fbnet-cifar", Choices(), 600),
}
SHARE = 0.5  # of the way from the least to the most multiply-adds
TRAINED = {"epochs": 2, "batch_size": 64}


class Ran(NamedTuple):
    """What a job was expected to take by its multiply-adds, and what it took."""

    work: Workload
    seconds: float
    peak_bytes: int
    pace: dict[str, Any]


def document(space: Space, job: Job) -> SearchSpec:
    """The job's spec, with a budget that binds."""
    fields = {
        "space": space.name, "dataset": "fashion-mnist", "finish": TRAINED, "choices": job.choices.model_dump(),
        "search": {**TRAINED, "warmup_epochs": 1, "evidence_samples": 32}, "finalists": 8,
    }  # fmt: skip
    free = SearchSpec.model_validate({**fields, "constraints": [{"metric": "macs", "max": 1e15}]})
    (budget,) = budgets_of(space, free.constraints, {})
    least, greatest = reach(budget)
    bound = {"metric": "macs", "max": least + SHARE * (greatest - least)}
    return SearchSpec.model_validate({**fields, "constraints": [bound]})


def ran(name: str) -> Ran:
    """One job, in this process."""
    job = JOBS[name]
    space = preset(job.space).offering(job.choices)
    spec = document(space, job)
    data = framed(pictures(job.examples), space.input)
    work = workload(spec, space, examples=len(data.y_train), test_examples=len(data.y_test))
    run = SearchRun(spec, space=space, data=data, budgets=budgets_of(space, spec.constraints, {}))
    begin, times = time.process_time(), dict[str, list[float]]()
    for report in run:
        times.setdefault(report.phase, []).append(time.process_time())
    with tempfile.TemporaryDirectory() as folder:
        run.export(Path(folder))
    pace = measured_pace(
        work, search_step_seconds=_each(times["search"]), finish_step_seconds=_each(times["finish"]), threads=1
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Ran(work, time.process_time() - begin, peak, pace)


def _each(times: list[float]) -> float:
    """Seconds a step; the first compiles."""
    return (times[-1] - times[0]) / (len(times) - 1)


def told(found: Ran, first: Ran) -> dict[str, float]:
    """Of one job, with the pace of the first."""
    pace = Pace(first.pace["search_macs_per_second"], first.pace["finish_macs_per_second"], rests_on="the first job")
    stated, by_pace = found.work.seconds(stated_pace(1)), found.work.seconds(pace)
    return {
        "peak_mb": round(found.peak_bytes / 1e6, 1),
        "memory_ratio": round(found.work.memory_bytes / found.peak_bytes, 2),
        "seconds": round(found.seconds, 1),
        "stated_ratio": round(stated / found.seconds, 2),
        "paced_ratio": round(by_pace / found.seconds, 2),
    }


def main() -> None:
    """Runs the benchmark."""
    given = parser(__doc__).parse_args()
    pictures()  # fetched once, before the processes start
    found = dict[str, Ran]()
    for name in JOBS:
        with pool(1) as one:
            found[name] = one.submit(ran, name).result()
        say(f"{name}: {told(found[name], found['blocks'])}")
    show({"jobs": {name: told(one, found["blocks"]) for name, one in found.items()}}, as_json=given.json)


if __name__ == "__main__":
    main()
