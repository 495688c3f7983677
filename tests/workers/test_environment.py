"""What is recorded tells apart what computes other bits."""

import os
import subprocess
import sys

import pytest
import torch

from workers.environment import environment, machine, processor

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


def test_threads_belong_to_the_job_and_all_else_to_the_machine() -> None:
    assert environment(3) == {**machine(), "threads": 3}
