"""How torch uses the machine."""

import sys

import psutil
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from search.machine import give_back, use_threads

MIB = 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_memory_stays_for_the_next_step_and_goes_back_between_phases() -> None:
    """What lies behind in memory keeps all that was freed before it."""
    use_threads(1)
    give_back()
    tensors = [torch.ones(MIB) for _ in range(100)]
    last, held = tensors[-1], psutil.Process().memory_info().rss
    del tensors
    freed = psutil.Process().memory_info().rss
    give_back()
    given_back = psutil.Process().memory_info().rss
    assert held - freed < 40 * MIB
    assert freed - given_back > 300 * MIB
    assert float(last.sum()) == MIB


def test_numpy_and_scipy_solve_on_one_thread_whatever_the_machine_has() -> None:
    """Else the evidence of a search had other last bits on a machine of the same kind with more cores."""
    with threadpool_limits(2, user_api="blas"):
        use_threads(1)
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert pools
    assert set(pools) == {1}
