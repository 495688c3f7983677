"""What it takes to profile a space, and whether two profiles agree.

Profiles fbnet-mini in fp32 and int8, at three widths, on one core: twice whole, the second time with the seed of the
first, then once more, killed half way and started again. Rows are compared in relative terms; `bursts` of calls are
those of a whole profile, of the one that was killed, and of the one that went on from its draft.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._reporting import parser, say, show
from latency.operator import Operator
from latency.profiler import profile
from latency.table import LatencyTable
from search.choices import Choices
from search.space import preset

WIDTHS = (1.0, 0.75, 0.5)


def on_one_core() -> None:
    """Keeps this process on the last of its cores."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def profiled(operators: list[Operator], runtime: str, draft: Path | None = None) -> tuple[LatencyTable, float, int]:
    """The table, the seconds it took, the bursts that were timed."""
    bursts = 0

    def count(done: int, total: int, left: float) -> None:
        nonlocal bursts
        bursts = done

    start = time.monotonic()
    table = profile(operators, device="this-cpu", runtime=runtime, draft=draft, progress=count)
    return table, time.monotonic() - start, bursts


def _until_killed(operators: list[Operator], runtime: str, draft: Path) -> None:
    on_one_core()
    profiled(operators, runtime, draft)


def killed_and_started_again(operators: list[Operator], runtime: str, bursts: int) -> tuple[int, int]:
    """The bursts of a profile that is killed after so many, and of the one that goes on from its draft."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft"
        child = multiprocessing.get_context("spawn").Process(target=_until_killed, args=(operators, runtime, draft))
        child.start()
        while not draft.exists() or len(draft.read_text().splitlines()) <= bursts:
            child.join(0.2)
            assert child.exitcode is None, "it had ended before it could be killed"
        child.kill()
        child.join()
        kept = len(draft.read_text().splitlines()) - 1
        return kept, profiled(operators, runtime, draft)[2]


def differences(first: LatencyTable, second: LatencyTable) -> np.ndarray:
    """Of each row, relative to its greater value."""
    pairs = np.array([(entry.latency_us, second.entries[o].latency_us) for o, entry in first.entries.items()])
    return np.asarray(np.abs(pairs[:, 0] - pairs[:, 1]) / np.maximum(pairs.max(1), 1e-9))


def run(given: argparse.Namespace) -> dict[str, object]:
    """The figures."""
    operators = list(preset(given.space).offering(Choices(precision=("fp32", "w8a8"), width=WIDTHS)).operators())
    on_one_core()
    say(f"profiling {len(operators)} operators, first time")
    first, seconds, bursts = profiled(operators, given.runtime)
    say(f"{seconds:.0f} s; second time")
    second, again, _ = profiled(operators, given.runtime)
    say(f"{again:.0f} s; killed half way and started again")
    kept, after = killed_and_started_again(operators, given.runtime, bursts // 2)
    rows = differences(first, second)
    return {
        "space": given.space,
        "runtime": given.runtime,
        "operators": len(operators),
        "seconds": [round(seconds, 1), round(again, 1)],
        "median_difference": round(float(np.median(rows)), 4),
        "p95_difference": round(float(np.percentile(rows, 95)), 4),
        "bursts": [bursts, kept, after],
    }


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--space", default="fbnet-mini")
    options.add_argument("--runtime", default="onnxruntime")
    given = options.parse_args()
    show(run(given), as_json=given.json)


if __name__ == "__main__":
    main()
