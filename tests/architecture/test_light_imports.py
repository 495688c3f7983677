"""What an import brings along. Each in a process of its own, as modules stay loaded once they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVER_SIDE = {"torch", "fastapi", "sqlalchemy", "celery", "redis", "alembic", "uvicorn", "pydantic"}
DEVICE_SIDE = {"onnx", "onnxruntime"}


def loaded_by(statement: str, folder: Path) -> set[str]:
    """The top-level packages in memory after `statement`, started as a user would: from a folder of their own."""
    program = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_app_leaves_torch_unloaded(tmp_path: Path) -> None:
    loaded = loaded_by("import api.app", tmp_path)
    assert "fastapi" in loaded
    assert not loaded & {"torch", "sklearn", "onnxruntime"}


def test_the_workers_parent_leaves_torch_to_the_task(tmp_path: Path) -> None:
    """A torch operation in the parent, before the fork, hangs the child."""
    loaded = loaded_by("import workers.main", tmp_path)
    assert not loaded & {"torch", "fastapi"}


@pytest.mark.parametrize("module", ["search.report.filling", "search.report.page"])
def test_a_report_is_written_without_torch(module: str, tmp_path: Path) -> None:
    assert not loaded_by(f"import {module}", tmp_path) & {"torch", "onnx", "onnxruntime"}


@pytest.mark.parametrize("module", ["lutnas", "lutnas.client", "lutnas.cli"])
def test_the_users_side_is_light(module: str, tmp_path: Path) -> None:
    """Plain `lutnas` installs neither: an import of them would end in an ImportError there."""
    assert not loaded_by(f"import {module}", tmp_path) & (SERVER_SIDE | DEVICE_SIDE | {"scipy", "sklearn"})


@pytest.mark.parametrize("module", ["latency", "search"])
def test_the_engine_is_a_library(module: str, tmp_path: Path) -> None:
    assert not loaded_by(f"import {module}", tmp_path) & (SERVER_SIDE | {"httpx"})
