"""Work of one kernel shared by threads: fixed parts in a fixed order, so that results depend on their number alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")
SMALL = 1 << 16  # elements below which starting threads costs more than it spares


def in_parts(length: int, elements: int, work: Callable[[int, slice], Result]) -> list[Result]:
    """work(number, slice) for each of torch's threads over `length`, in order; one part where `elements` are few."""
    count = 1 if elements < SMALL else min(torch.get_num_threads(), length)
    if count == 1:
        return [work(0, slice(0, length))]
    ends = [length * number // count for number in range(count + 1)]
    slices = [slice(start, end) for start, end in pairwise(ends)]
    return list(_pool(count).map(work, range(count), slices))


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="kernel")
