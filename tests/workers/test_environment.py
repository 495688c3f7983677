"""What is recorded tells apart what computes other bits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import scipy
import torch

from api.jobs.environments import differences
from workers.environment import digest, environment, machine, processor

TELL = "from workers.environment import processor; print(processor())"


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"), reason="torch takes none here")
def test_a_processor_is_told_by_its_kind_and_by_the_instructions_that_torch_takes() -> None:
    """One name stands for processors with and without AVX-512, of which the same job gives other bits."""
    told = subprocess.run(
        [sys.executable, "-c", TELL], env={**os.environ, "ATEN_CPU_CAPABILITY": "default"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    name, kind = processor().removesuffix(")").rsplit(" (", 1)
    assert told.stdout.strip().startswith(f"{name} (")
    assert told.stdout.strip() != processor()
    assert len(kind.split(", ")) == 2


def test_the_kind_is_the_one_that_numba_compiles_for() -> None:
    """NUMBA_CPU_NAME is usual where machines of several kinds share a cache, and gives other bits."""
    told = subprocess.run(
        [sys.executable, "-c", TELL], env={**os.environ, "NUMBA_CPU_NAME": "generic"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "(generic, " in told.stdout


def test_all_that_computes_is_recorded_and_what_differs_is_named() -> None:
    here = machine()
    assert (here["torch"], here["numpy"], here["scipy"]) == (torch.__version__, numpy.__version__, scipy.__version__)
    before = {**here, "numba": "0.1", "gone": 1}
    assert differences(before, here) == [
        {"name": "numba", "first": "0.1", "again": here["numba"]},
        {"name": "gone", "first": 1, "again": None},
    ]
    assert differences(here, machine()) == []


def test_code_is_told_apart_by_every_byte_and_by_where_it_stands(tmp_path: Path) -> None:
    def changed(name: str, source: str) -> str:
        (tmp_path / "package" / name).write_text(source, encoding="utf-8")
        return digest([tmp_path / "package"])

    (tmp_path / "package").mkdir()
    found = [changed("a.py", "x = 1\n"), changed("a.py", "x = 2\n"), changed("b.py", ""), changed("a.py", "x = 1\n")]
    assert len(set(found)) == 4
    (tmp_path / "package" / "b.py").unlink()
    assert digest([tmp_path / "package"]) == found[0]


def test_threads_belong_to_the_job_and_all_else_to_the_machine() -> None:
    assert environment(3) == {**machine(), "threads": 3}
