"""How torch and numpy use this machine: repeatable, on a stated number of threads, without paying for memory twice."""

import ctypes
import sys

import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which has to be loaded to be held to one thread
import torch
from threadpoolctl import threadpool_limits

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h


def use_threads(threads: int) -> None:
    """Makes torch repeatable on `threads` cores: results are equal for one torch build, processor type and thread
    count. The BLAS of numpy and scipy has one thread whatever is said: it would take one a core of the machine, with
    other last bits for each number of them, and wait for them longer than the small systems here take to solve.
    """
    torch.set_num_threads(threads)
    threadpool_limits(1, user_api="blas")
    torch.use_deterministic_algorithms(True)
    # No operator here reads memory that it did not write; filling it would cost a fifth of every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _keep_freed_memory()


def give_back() -> None:
    """Gives freed memory back to the system: between phases, whose tensors are of other sizes and do not fit into what
    those of the last one left. Without it the peak of a job is nearer to their sum than to the greatest.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _keep_freed_memory() -> None:
    """Large tensors come and go each step. glibc gives each back to the system and fetches it anew, page by page: 20 %
    of a step. Kept, the process stays at its peak until `give_back`. Elsewhere (macOS, musl) nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
