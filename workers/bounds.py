"""What an attempt may take, held while it runs.

Errors:
    TimeLimit (Exception)     the job has taken longer than it may
    MemoryLimit (Exception)   the worker's process has become larger than the job allows
"""

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from api.jobs.document import Limits

SLACK_BYTES = 2**28  # above the limit, so that the check at a step, whose words are clearer, mostly comes first
_OUT_OF_MEMORY = "DefaultCPUAllocator"  # torch raises a RuntimeError that names its allocator
_STATUS = Path("/proc/self/status")


class TimeLimit(Exception):
    """The job has taken longer than it may."""


class MemoryLimit(Exception):
    """The worker's process has become larger than the job allows."""


class Bounds:
    """Holds `limits` while it is entered. `spent_seconds` is what earlier attempts took; `clock` gives seconds.

    Time and resident memory are looked at by `check`, at each step. On Linux the process also gets a limit of its data
    (RLIMIT_DATA), so that what one step allocates is refused before the machine runs out.
    """

    def __init__(self, limits: Limits, *, spent_seconds: float, clock: Callable[[], float]) -> None:
        self._limits, self._clock = limits, clock
        self._began = clock() - spent_seconds
        self._before: tuple[int, int] | None = None

    @property
    def holds_memory(self) -> bool:
        """Whether this platform tells how large the process is, where the job wants that bounded."""
        return self._limits.max_memory_bytes is None or sys.platform == "linux"

    def __enter__(self) -> "Bounds":
        most = self._limits.max_memory_bytes
        if most is not None and sys.platform == "linux":
            _give_back_freed()
            self.check()
            self._before = resource.getrlimit(resource.RLIMIT_DATA)
            left = _in_status("VmData") + most - _in_status("VmRSS") + SLACK_BYTES
            soft, hard = self._before
            known = [bound for bound in (left, soft, hard) if bound != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_DATA, (min(known), hard))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        resource.setrlimit(resource.RLIMIT_DATA, self._before)
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY in str(error)):
            raise MemoryLimit(f"{self._told()}, and an allocation above it was refused: {error}") from error

    def check(self, instead: str = "ask for fewer epochs") -> None:
        """Raises TimeLimit, MemoryLimit. `instead` is what its user may do where time ran out."""
        seconds, most = self._limits.max_seconds, self._limits.max_memory_bytes
        if seconds is not None and (taken := self._clock() - self._began) > seconds:
            raise TimeLimit(
                f"limits.max_seconds is {seconds:g}, and all attempts together took {taken:.1f} s: raise it, or "
                f"{instead}"
            )
        if most is not None and sys.platform == "linux" and (size := _in_status("VmRSS")) > most:
            raise MemoryLimit(
                f"{self._told()}, and the worker's process has {size}: raise it, or try a smaller batch_size"
            )

    def _told(self) -> str:
        return f"limits.max_memory_bytes is {self._limits.max_memory_bytes}"


def _give_back_freed() -> None:
    """What the job before freed and the allocator keeps (search.machine) is not this job's. glibc's alone does that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _in_status(field: str) -> int:
    """Bytes of a field of /proc/self/status (proc(5))."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{_STATUS} has no {field}")
