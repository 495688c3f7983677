"""Work shared by processes of one thread each, which end with the one that started them, however that one ends."""

import ctypes
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from search.machine import use_threads

PR_SET_PDEATHSIG = 1


def pool(processes: int) -> ProcessPoolExecutor:
    """So many processes. The thread that submits must outlive them; elsewhere than on Linux only an orderly end of the
    benchmark ends them.
    """
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)  # the parent was gone before the kernel knew
    use_threads(1)
