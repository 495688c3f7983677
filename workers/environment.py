"""What a result depends on beside its seed: equal environments give equal bits."""

import platform
from pathlib import Path

import torch
from llvmlite.binding import get_host_cpu_name


def environment(threads: int) -> dict[str, str | int]:
    """Torch build, processor type and thread count; recorded with a job and its checkpoints."""
    return {**machine(), "threads": threads}


def machine() -> dict[str, str | int]:
    """The same without the threads, which a job fixes."""
    return {"torch": torch.__version__, "processor": processor(), "python": platform.python_version()}


def processor() -> str:
    """The processor's name as the system tells it, its kind as numba compiles for it, and the vector instructions that
    torch takes: `AMD EPYC (znver3, AVX2)`. Of one name there are kinds that compute other bits.
    """
    return f"{_name()} ({get_host_cpu_name()}, {torch.backends.cpu.get_cpu_capability()})"


def _name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
