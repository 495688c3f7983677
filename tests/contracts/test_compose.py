"""docker-compose.yml says what the code can do: its commands, its settings, its health checks."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from api.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["api", "worker"]


def test_it_runs_the_api_a_worker_and_both_servers() -> None:
    assert set(SERVICES) == {"api", "worker", "postgres", "redis"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_with_limits(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize(("name", "needed"), [("api", {"postgres", "redis"}), ("worker", {"api"})])
def test_services_wait_for_the_health_of_what_they_need(name: str, needed: set[str]) -> None:
    assert SERVICES[name]["depends_on"] == {one: {"condition": "service_healthy"} for one in needed}


def test_every_mounted_volume_is_declared_and_used() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


@pytest.mark.parametrize("setting", ["LUTNAS_ARTIFACTS", "LUTNAS_DATA_DIR"])
def test_api_and_worker_share_the_folders_that_outlive_them(setting: str) -> None:
    folder = SERVICES["api"]["environment"][setting]
    for name in OURS:
        assert SERVICES[name]["environment"][setting] == folder
        assert [volume for volume in SERVICES[name]["volumes"] if volume.endswith(f":{folder}")]
    assert f" {folder}" in (REPOSITORY / "Dockerfile").read_text(), "a volume takes its owner from the image's folder"


@pytest.mark.parametrize("name", OURS)
def test_commands_and_their_options_exist(name: str) -> None:
    program, *arguments = shlex.split(SERVICES[name]["command"])
    assert program == "lutnas"
    # click reads all options before it acts on --help: an unknown one fails.
    done = subprocess.run([PROGRAMS / program, *arguments, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OURS)
def test_the_image_starts_with_the_same_command(name: str) -> None:
    target = SERVICES[name]["build"]["target"]
    stage = (REPOSITORY / "Dockerfile").read_text().partition(f" AS {target}\n")[2].partition("\nFROM ")[0]
    (command,) = re.findall(r"^CMD (\[.*\])$", stage, flags=re.MULTILINE)
    assert yaml.safe_load(command) == shlex.split(SERVICES[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_every_setting_named_is_a_setting_of_the_api(name: str) -> None:
    known = {f"LUTNAS_{field}".upper() for field in Settings.model_fields}
    named = {variable for variable in SERVICES[name]["environment"] if variable.startswith("LUTNAS_")}
    assert named
    assert named <= known


def test_no_secret_is_written_into_the_file() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value), f"{variable} has to be given, and has no default"
            if "://" in value:
                assert make_url(value).password is None, variable
    assert all(set(secret) == {"environment"} for secret in COMPOSE["secrets"].values())
