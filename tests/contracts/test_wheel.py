"""The wheel stands on its own: with no checkout beside it, among strange packages of the same names as ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

REPOSITORY = Path(__file__).parents[2]
STRANGERS = ["api", "search", "latency", "workers", "lutnas", "migrations"]


@pytest.mark.timeout(400)
def test_a_wheel_serves_and_is_called_from_a_folder_of_strange_packages(tmp_path: Path) -> None:
    """One test, as its two environments are dear: `lutnas[server]` runs the API, plain `lutnas` asks it."""
    wheel = build_wheel(tmp_path)
    server_side = install(f"{wheel}[server]", tmp_path / "server")
    client_side = install(str(wheel), tmp_path / "client")
    folder = strange_folder(tmp_path)
    home = tmp_path / "home"
    environment = clean_environment() | {
        "LUTNAS_HOME": str(home),
        "LUTNAS_DATABASE_URL": f"sqlite:///{tmp_path / 'wheel.sqlite'}",
    }

    for installed in (server_side, client_side):
        assert "serve" in lutnas(installed, ["--help"], folder, environment)
    lutnas(server_side, ["migrate"], folder, environment)
    assert (tmp_path / "wheel.sqlite").stat().st_size > 0

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = [str(server_side / "lutnas"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(serve, lambda: is_healthy(url), cwd=folder, env=environment, log=tmp_path / "serve.log"):
        # Without LUTNAS_HOME, as on another machine: the token travels by environment.
        elsewhere = clean_environment() | {"LUTNAS_TOKEN": (home / "token").read_text().strip(), "HOME": str(tmp_path)}
        lutnas(client_side, ["devices", "list", "--url", url], folder, elsewhere)


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


def install(requirement: str, environment: Path) -> Path:
    """A new environment with `requirement`; gives its folder of programs. Without ensurepip, which not all have."""
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], cwd=environment.parent)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-compile", requirement], cwd=environment.parent)
    return python.parent


def strange_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a-users-project"
    for name in STRANGERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('a user\\'s own {name} was imported')\n")
    return folder


def clean_environment() -> dict[str, str]:
    """No setting of the test run, and no path that leads back to the checkout."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("LUTNAS_", "PYTHON", "VIRTUAL_ENV"))
    }


def lutnas(programs: Path, arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    return run([str(programs / "lutnas"), *arguments], cwd=folder, env=environment)


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
