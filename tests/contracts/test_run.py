"""`run` gets a stranger from a clone to a working command, whatever happened to the installation before."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMANDS = ["demo", "up", "test", "check", "bench"]

# The script under test knows no package of ours: a project with the same name and no dependencies installs in seconds.
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "lutnas"
version = "0"
[project.optional-dependencies]
dev = []
[tool.hatch.build.targets.wheel]
packages = ["tiny"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy2(REPOSITORY / "run", tmp_path / "run")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").touch()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "echo.py").write_text("import sys\nprint(sys.argv[1:])\n")
    return tmp_path


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(checkout / "run"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, talk = process.communicate(timeout=120)
    assert process.returncode == 0, talk
    return out, talk


def test_help_names_every_command_and_installs_nothing(checkout: Path) -> None:
    out, _ = finish(start(checkout, "help"))
    for command in COMMANDS:
        assert f"  {command} " in out
    assert not (checkout / ".venv").exists()


def test_an_unknown_command_fails_and_installs_nothing(checkout: Path) -> None:
    process = start(checkout, "dmeo")
    out, talk = process.communicate(timeout=60)
    assert process.returncode != 0
    assert out == ""
    assert "unknown command 'dmeo'" in talk
    assert not (checkout / ".venv").exists()


@pytest.mark.timeout(600)  # two environments are made
def test_it_installs_once_for_two_calls_and_again_after_one_was_cut_off(checkout: Path) -> None:
    calls = [start(checkout, "bench", "echo", "two words"), start(checkout, "bench", "echo", "two words")]
    answers = [finish(call) for call in calls]
    assert [out for out, _ in answers] == ["['two words']\n"] * 2
    assert sum("installed in" in talk for _, talk in answers) == 1

    assert finish(start(checkout, "bench", "echo")) == ("[]\n", "")

    # A marker that an installation leaves when it is killed.
    (checkout / ".venv" / ".unfinished").touch()
    (checkout / ".venv" / "half-a-package").touch()
    out, talk = finish(start(checkout, "bench", "echo"))
    assert out == "[]\n"
    assert "making" in talk
    assert not (checkout / ".venv" / "half-a-package").exists()


def test_an_unknown_benchmark_names_those_there_are(checkout: Path) -> None:
    # An environment that is current, as far as the script can tell.
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    checksum = subprocess.run(["cksum"], input=PROJECT, capture_output=True, text=True, check=True).stdout
    (checkout / ".venv" / ".installed-for").write_text(f"{checksum}{checkout.resolve()}\n")
    process = start(checkout, "bench", "eco")
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "no benchmark eco" in talk
    assert "  echo\n" in talk
