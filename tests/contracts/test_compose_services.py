"""The services of docker-compose.yml, run by its own commands and asked by its own health checks."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.running import running
from tests.servers.server import free_port

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
TOKEN = "a-token-for-this-test-only"


@pytest.mark.timeout(600)  # each look at a worker is a program of its own
def test_the_services_start_and_pass_their_health_checks(
    postgres_url: str, fresh_redis_url: str, tmp_path: Path
) -> None:
    port = str(free_port())
    environment = here(postgres_url, fresh_redis_url, tmp_path)

    def healthy(name: str) -> bool:
        return (
            subprocess.run(health_check(name, port), env=environment, capture_output=True, check=False).returncode == 0
        )

    with running(command("api", port), lambda: healthy("api"), cwd=tmp_path, env=environment, log=tmp_path / "api.log"):
        worker_log = tmp_path / "worker.log"
        with running(command("worker", port), lambda: healthy("worker"), cwd=tmp_path, env=environment, log=worker_log):
            assert healthy("api")
        assert not healthy("worker")
    assert not healthy("api")


def here(postgres_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of the file, with the addresses and folders of this test for those of the containers."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    replaced = {
        "LUTNAS_ARTIFACTS": str(tmp_path / "artifacts"),
        "LUTNAS_DATA_DIR": str(tmp_path / "data"),
        "LUTNAS_DATABASE_URL": postgres_url,
        "LUTNAS_BROKER_URL": redis_url,
        "LUTNAS_TOKEN_FILE": str(token),
    }
    named = {name for service in ("api", "worker") for name in SERVICES[service]["environment"]}
    assert {name for name in named if name.startswith("LUTNAS_")} == set(replaced)
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **replaced, "PATH": path, "LUTNAS_HOME": str(tmp_path / "home")}


def command(name: str, port: str) -> list[str]:
    program, *arguments = shlex.split(SERVICES[name]["command"].replace("8000", port).replace("0.0.0.0", "127.0.0.1"))
    return [str(PROGRAMS / program), *arguments]


def health_check(name: str, port: str) -> list[str]:
    form, *test = SERVICES[name]["healthcheck"]["test"]
    assert form == "CMD"
    return [part.replace("8000", port) for part in test]
