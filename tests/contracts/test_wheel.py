"""The wheel stands on its own: with no checkout beside it, among strange packages of the same names as ours."""

from pathlib import Path

import pytest

from tests.contracts.environments import build_wheel, clean_environment, install, run
from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

STRANGERS = ["api", "search", "latency", "workers", "lutnas", "migrations"]


@pytest.mark.timeout(400)
def test_a_wheel_serves_and_is_called_from_a_folder_of_strange_packages(tmp_path: Path) -> None:
    """One test, as its two environments are dear: `lutnas[server]` runs the API, plain `lutnas` asks it."""
    wheel = build_wheel(tmp_path)
    server_side = install(tmp_path / "server", f"{wheel}[server]")
    client_side = install(tmp_path / "client", str(wheel))
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


def strange_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a-users-project"
    for name in STRANGERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('a user\\'s own {name} was imported')\n")
    return folder


def lutnas(programs: Path, arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    return run([str(programs / "lutnas"), *arguments], cwd=folder, env=environment)
