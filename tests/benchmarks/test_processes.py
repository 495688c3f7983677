"""A benchmark that is killed leaves no process behind that goes on computing."""

import subprocess
import sys
import time

import psutil

from tests.servers.running import is_alive

SCRIPT = """
import os, time
from benchmarks._processes import pool

if __name__ == "__main__":
    executor = pool(1)
    print(executor.submit(os.getpid).result(), flush=True)
    executor.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_with_a_benchmark_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        worker = psutil.Process(int(benchmark.stdout.readline()))
        assert is_alive(worker)
        benchmark.kill()
    deadline = time.monotonic() + 20
    while is_alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)
