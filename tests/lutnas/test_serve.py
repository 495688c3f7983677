"""`lutnas serve` and `lutnas migrate`: how they start, what they leave and how they end."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from click.testing import CliRunner, Result
from sqlalchemy import text

from api.app import create_app
from api.artifacts.service import record
from api.artifacts.store import StoredFile
from api.db.engine import make_engine
from api.db.migrate import upgrade
from api.db.session import Database
from api.settings import Settings
from lutnas.cli import cli
from lutnas.cli.serve import WORKER_PACKAGES, ended_by_signals, listen
from lutnas.client import Client
from tests.lutnas.conftest import PROGRAM
from tests.search.builders import tiny_space
from tests.servers.running import is_alive

ROOT = Path(__file__).parents[2]


def environ(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "LUTNAS_HOME": str(home), "XDG_CONFIG_HOME": str(home), **more}


@contextmanager
def serving(home: Path, *options: str, **more: str) -> Iterator[tuple["subprocess.Popen[str]", Any]]:
    """A service on a free port, and the line by which it says that it listens."""
    command = [*PROGRAM, "serve", "--port", "0", "--json", *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environ(home, **more), stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run(home: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [*PROGRAM, *arguments]
    return subprocess.run(command, env=environ(home, **more), capture_output=True, text=True, check=False, timeout=60)


def refused(home: Path, *arguments: str, **more: str) -> Result:
    """The command in this process, which says what is wrong before anything begins."""
    environ = {"LUTNAS_HOME": str(home), "XDG_CONFIG_HOME": str(home), **more}
    done = CliRunner().invoke(cli, list(arguments), env=environ, catch_exceptions=False)
    assert done.exit_code == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_it_makes_a_token_that_only_its_owner_reads_and_says_where(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, ready):
        token = Path(ready["token_file"])
        assert token == tmp_path / "token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {token.read_text(encoding='utf-8').strip()}"}
        assert httpx.get(f"{ready['address']}/v1/tokens/self", headers=headers).is_success
        assert httpx.get(f"{ready['address']}/v1/tokens/self").status_code == 401


def test_connections_send_at_once_what_they_have() -> None:
    """Else the body of an answer waits the 40 ms that Linux takes to acknowledge its head."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_command_of_this_machine_finds_it_without_being_told(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, ready):
        assert (tmp_path / "address").read_text().strip() == ready["address"]
        assert run(tmp_path, "devices", "list").returncode == 0


def test_a_second_start_keeps_the_token(tmp_path: Path) -> None:
    tokens = list[str]()
    for _ in range(2):
        with serving(tmp_path) as (_, ready):
            tokens.append(Path(ready["token_file"]).read_text(encoding="utf-8"))
    assert tokens[0] == tokens[1]


def test_a_token_that_the_operator_gives_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path, LUTNAS_TOKEN="a-token-from-the-operator") as (_, ready):
        assert ready["token_file"] is None
        assert run(tmp_path, "devices", "list", LUTNAS_TOKEN="a-token-from-the-operator").returncode == 0


def test_ctrl_c_ends_it_and_takes_its_address_away(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with serving(tmp_path) as (process, _):
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
            assert "Traceback" not in said
            assert not (tmp_path / "address").exists()


def test_a_signal_before_the_server_runs_ends_it_once_it_does(tmp_path: Path) -> None:
    """In the while between the line that says where and uvicorn's own handlers, its event loop is half made."""
    server = uvicorn.Server(uvicorn.Config(create_app(Settings(home=tmp_path)), log_config=None))
    for number in (signal.SIGINT, signal.SIGTERM):
        server.should_exit = False
        with socket.create_server(("127.0.0.1", 0)) as listener, ended_by_signals(server):
            signal.raise_signal(number)
            server.run(sockets=[listener])
        assert server.should_exit


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = refused(tmp_path, "serve", "--port", str(port))
    assert f"error: cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "hint: take another with --port" in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = refused(tmp_path, "serve", LUTNAS_LEASE_SECONDS="soon")
    assert "LUTNAS_LEASE_SECONDS: " in done.stderr


def test_a_database_that_is_not_there_is_said_without_the_password(tmp_path: Path) -> None:
    done = refused(tmp_path, "migrate", LUTNAS_DATABASE_URL="postgresql://lutnas:secret-word@127.0.0.1:9/lutnas")
    assert "error: cannot use the database" in done.stderr
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"LUTNAS_HOME": "{file}"}, "error: cannot make {file}: File exists"),
        ({"LUTNAS_DATABASE_URL": "postgres"}, "error: Could not parse SQLAlchemy URL"),
        ({"LUTNAS_DATABASE_URL": "sqlite:///{file}"}, "error: cannot use the database sqlite:///{file}"),
    ],
)
def test_a_home_or_a_database_that_cannot_be_is_an_error(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    (file := tmp_path / "file").write_text("no database " * 100)
    for command in ("serve", "migrate"):
        done = refused(tmp_path, command, **{name: value.format(file=file) for name, value in changes.items()})
        assert said.format(file=file) in done.stderr


def test_a_store_that_is_not_there_though_it_was_used_is_not_made_anew(tmp_path: Path) -> None:
    store = tmp_path / "share" / "lutnas"
    upgrade(f"sqlite:///{tmp_path / 'lutnas.db'}")
    database = Database(f"sqlite:///{tmp_path / 'lutnas.db'}")
    with database.write() as session:
        record(session, "main", StoredFile("x", "jobs/a/1/x", 1, "0", "x/y"))
    database.close()
    done = refused(tmp_path, "serve", "--port", "0", LUTNAS_ARTIFACTS=str(store))
    assert f"error: cannot use the store {store}: {store} is not there: is it mounted?" in done.stderr
    assert not store.exists()


def test_a_store_that_cannot_be_is_told_before_anything_listens(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("no folder")
    done = refused(tmp_path, "serve", "--port", "0", "--json", LUTNAS_ARTIFACTS=str(file / "artifacts"))
    assert done.stdout == ""
    assert f"error: cannot use the store {file / 'artifacts'}" in done.stderr
    assert "hint: LUTNAS_ARTIFACTS names it" in done.stderr


@pytest.mark.parametrize("command", [["worker"], ["serve", "--worker", "--port", "0"]], ids=" ".join)
def test_what_a_worker_needs_and_lacks_is_told_before_it_takes_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("lutnas.cli.serve.WORKER_PACKAGES", ("json", "not_installed"))
    done = CliRunner().invoke(cli, command, env={"LUTNAS_HOME": str(tmp_path / "home")})
    assert done.exit_code == 1
    assert "needs not_installed, which is not installed" in done.stderr
    assert "hint: pip install 'lutnas[worker]'" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_worker_asks_for_all_that_its_extra_adds_to_the_service() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    added = {re.split(r"[<>=\[]", need)[0] for name in ("library", "profiler", "worker") for need in extras[name]}
    served = {re.split(r"[<>=\[]", need)[0] for need in extras["server"]}
    assert {name.replace("scikit-learn", "sklearn") for name in added - served - {"lutnas"}} == {*WORKER_PACKAGES}


def test_nobody_else_reads_the_database_nor_what_is_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)  # by an operator, who may well want others to see the rest
    with serving(home) as (_, ready):
        token = Path(ready["token_file"]).read_text(encoding="utf-8").strip()
        with Client(ready["address"], token) as client:
            client.whoami()
        files = [file for file in home.iterdir() if file.name.startswith("lutnas.db") and "migrating" not in file.name]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) > 1


def test_a_ping_without_a_broker_is_no_answer(tmp_path: Path) -> None:
    done = refused(tmp_path, "worker", "--ping", "--json", LUTNAS_BROKER_URL="redis://127.0.0.1:9/0")
    assert not json.loads(done.stdout)["answered"]
    assert "warning: the broker does not answer" in done.stderr


def test_collecting_without_a_database_is_an_error(tmp_path: Path) -> None:
    done = refused(tmp_path, "collect")
    assert "error: cannot use the database" in done.stderr


def test_migrate_makes_the_tables_and_can_be_said_twice(tmp_path: Path, database_url: str) -> None:
    for _ in range(2):
        done = run(tmp_path, "migrate", "--json", LUTNAS_DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        assert "database" in json.loads(done.stdout)


def test_a_database_that_a_newer_version_made_is_refused_and_left_as_it_is(tmp_path: Path, database_url: str) -> None:
    upgrade(database_url)
    engine = make_engine(database_url, foreign_keys=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    done = refused(tmp_path, "serve", "--port", "0", LUTNAS_DATABASE_URL=database_url)
    assert "stands at revision 9999" in done.stderr
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


def test_the_worker_ends_with_the_service(tmp_path: Path) -> None:
    with serving(tmp_path, "--worker") as (process, _):
        (worker,) = _workers(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert not worker.is_running()


def test_the_worker_ends_when_the_service_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, "--worker") as (process, _):
        (worker,) = _workers(process.pid)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 60
        while is_alive(worker):
            assert time.monotonic() < deadline, "the worker lives on"
            time.sleep(0.05)  # between two looks at another process


def test_the_service_ends_when_its_worker_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path, "--worker") as (process, _):
        (worker,) = _workers(process.pid)
        worker.kill()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "error: the worker ended with code -9" in said


def test_it_ends_so_even_while_somebody_reads_the_events_of_a_job(tmp_path: Path) -> None:
    constraints = [{"metric": "macs", "max": 1e9}]
    with serving(tmp_path, "--worker") as (process, ready):
        with Client(ready["address"], Path(ready["token_file"]).read_text(encoding="utf-8").strip()) as client:
            client.create_space(tiny_space().model_dump(mode="json"))
            job = client.submit({"space": "tiny", "dataset": "digits", "constraints": constraints})["id"]
            url = f"{ready['address']}/v1/search-jobs/{job}/events"
            headers = {"Authorization": f"Bearer {Path(ready['token_file']).read_text(encoding='utf-8').strip()}"}
            with httpx.stream("GET", url, headers=headers | {"Accept": "text/event-stream"}, timeout=60) as stream:
                next(stream.iter_lines())
                (worker,) = _workers(process.pid)
                worker.kill()
                _, said = process.communicate(timeout=60)
        assert process.returncode == 1, said


@pytest.mark.timeout(400)
def test_a_worker_answers_a_ping_and_nobody_does_without_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--worker") as (process, _):
        for _ in range(10):  # each waits five seconds for an answer
            done = run(tmp_path, "worker", "--ping", "--json")
            if done.returncode == 0:
                break
        assert json.loads(done.stdout)["answered"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        done = run(tmp_path, "worker", "--ping", "--json")
        assert done.returncode == 1
        assert not json.loads(done.stdout)["answered"]


def _workers(parent: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(parent).children() if "worker" in child.cmdline()]
