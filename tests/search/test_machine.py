"""How torch uses the machine."""

import sys

import psutil
import pytest
import torch

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
