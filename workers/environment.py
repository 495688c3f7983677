"""What a result depends on beside its seed: equal environments give equal bits."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from numba.core.registry import cpu_target

import latency
import search

COMPUTE = ("llvmlite", "numba", "numpy", "scipy")  # beside torch


def environment(threads: int) -> dict[str, str | int]:
    """What computes, processor type and thread count; recorded with a job and its checkpoints."""
    return {**machine(), "threads": threads}


def machine() -> dict[str, str | int]:
    """The same without the threads, which a job fixes."""
    return {**_machine()}  # of its own for each caller


@cache
def _machine() -> Mapping[str, str]:
    packages = [Path(package.__file__).parent for package in (latency, search) if package.__file__]
    return {
        "torch": torch.__version__,
        "torch_build": hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12],  # its BLAS, its compiler
        **{name: version(name) for name in COMPUTE},
        "code": digest(packages),
        "processor": processor(),
        "python": platform.python_version(),
    }


def digest(packages: Sequence[Path]) -> str:
    """Of all Python files in these folders: two commits of one version may compute other bits."""
    found = hashlib.sha256()
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            source = file.read_bytes()
            found.update(f"{file.relative_to(package.parent).as_posix()} {len(source)}\n".encode() + source)
    return found.hexdigest()[:12]


def processor() -> str:
    """The processor's name as the system tells it, the kind that numba compiles for, and the vector instructions that
    torch takes: `AMD EPYC (znver3, AVX2)`. Of one name there are kinds that compute other bits.
    """
    # Not the host's: NUMBA_CPU_NAME may name another.
    _, kind, _ = cpu_target.target_context.codegen().magic_tuple()
    return f"{_name()} ({kind}, {torch.backends.cpu.get_cpu_capability()})"


def _name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
