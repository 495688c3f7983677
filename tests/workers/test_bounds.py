"""The bounds of an attempt: time over all attempts, and the memory of the process."""

import subprocess
import sys

import pytest

from api.jobs.document import Limits
from workers.bounds import Bounds, TimeLimit

GREEDY = """
import time, torch
from api.jobs.document import Limits
from workers.bounds import Bounds, MemoryLimit, _in_status
kept = torch.zeros(8)
most = _in_status("VmRSS") + 2**28
try:
    with Bounds(Limits(max_memory_bytes=most), spent_seconds=0.0, clock=time.monotonic) as bounds:
        bounds.check()
        {code}
except MemoryLimit as error:
    print(error)
torch.zeros(2**28).sum()  # the limit has gone with the job
"""


def test_seconds_count_over_all_attempts() -> None:
    now = [100.0]
    with Bounds(Limits(max_seconds=50), spent_seconds=30.0, clock=lambda: now[0]) as bounds:
        now[0] += 19.0
        bounds.check()
        now[0] += 2.0
        with pytest.raises(TimeLimit, match=r"max_seconds is 50, and all attempts together took 51\.0 s"):
            bounds.check()


def told(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", GREEDY.format(code=code)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process takes")
def test_memory_above_the_limit_ends_the_job_at_a_step_and_within_one() -> None:
    assert "and the worker's process has" in told("kept = torch.ones(2**26 + 2**24); bounds.check()")
    assert "an allocation above it was refused" in told("torch.zeros(2**28).sum()")
    assert "an allocation above it was refused" in told("bytearray(2**30)")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process takes")
def test_what_the_job_before_freed_does_not_count() -> None:
    """As search.machine has the allocator keep it."""
    code = """
import time, torch
from api.jobs.document import Limits
from search.machine import use_threads
from workers.bounds import Bounds, _in_status
use_threads(1)
torch.ones(8).sum()
most = _in_status("VmRSS") + 2**27
before = [torch.ones(2**18) for _ in range(500)]
del before
assert _in_status("VmRSS") > most, "the allocator kept nothing"
with Bounds(Limits(max_memory_bytes=most), spent_seconds=0.0, clock=time.monotonic) as bounds:
    bounds.check()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
