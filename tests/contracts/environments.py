"""New environments as users make them, from a wheel of what git knows and from nothing of this checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def build_wheel(tmp_path: Path) -> Path:
    """From what git knows, so that a file that was never added is missed here and not by a user."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    source = tmp_path / "source"
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, source / name)
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        cwd=tmp_path,
    )
    shutil.rmtree(source)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


def install(environment: Path, *requirements: str) -> Path:
    """A new environment with `requirements`; gives its folder of programs. Without ensurepip, which not all have."""
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], cwd=environment.parent)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-compile", *requirements], cwd=environment.parent)
    return python.parent


def clean_environment() -> dict[str, str]:
    """No setting of the test run, and no path that leads back to the checkout."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("LUTNAS_", "PYTHON", "VIRTUAL_ENV"))
    }


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Runs a command to its end and gives its output; fails with all that it said."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
