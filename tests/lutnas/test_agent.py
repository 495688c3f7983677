"""`lutnas agent` and `lutnas devices request`, timing this very machine for a real service."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from click.testing import CliRunner
from sqlalchemy import update

from api.db.session import Database, db_now
from api.requests.models import DeviceRequest
from latency.formats import write_csv
from latency.operator import Operator
from latency.table import Entry, TableInfo
from lutnas.agent.stop import Stopped
from lutnas.cli import cli
from lutnas.cli.answer import answer
from lutnas.client import Client
from tests.lutnas.conftest import PROGRAM, Service
from tests.lutnas.part_of_a_worker import finish, submit, take
from tests.lutnas.scripted import Answer, scripted
from tests.lutnas.small import NETWORK, model, tiniest
from tests.servers.running import is_healthy, running
from tests.servers.server import free_port

SPACE = "tiniest"
PATIENCE_SECONDS = 90  # a profile on a busy machine takes 45
# A module that is None in sys.modules is Python's own way to say that it is not there.
NOT_ON_A_DEVICE = ["torch", "pydantic", "fastapi", "sqlalchemy", "celery", "scipy", "search", "api", "workers"]


@pytest.fixture
def device(service: Service, request: pytest.FixtureRequest) -> str:
    """A new device, and the tiniest space."""
    name = f"bench-{abs(hash(request.node.name)) % 10**9}"
    with service.client() as client:
        client.create_space(tiniest().model_dump(mode="json"))
        client.create_device(name)
    return name


def uploaded(service: Service, device: str, file: Path, operators: Iterable[Operator]) -> str:
    """A made-up table of this machine's runtime."""
    info = TableInfo(device=device, runtime="onnxruntime", runtime_version=onnxruntime.__version__, threads=1, batch=1)
    file.write_text("".join(write_csv(info, [(o, Entry(1.0 + o.c_mid / 50)) for o in operators])), encoding="utf-8")
    return str(service.data("tables", "upload", str(file), "--device", device)["id"])


def drafts(service: Service, device: str) -> list[Path]:
    return list((service.home / "agent" / device).glob("*.draft"))


def lines_of_draft(service: Service, device: str) -> list[str]:
    """The whole lines of the one draft there may be."""
    return [line for file in drafts(service, device) for line in file.read_text().splitlines(keepends=True)[:-1]]


def until(holds: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


@contextmanager
def working(service: Service, device: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """An agent in a process of its own."""
    process = service.process("agent", "--device", device, "--poll", "0.2", *options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def state(service: Service, request: str) -> str:
    with service.client() as client:
        return client.requests.get(request)["state"]


def ask_profile(service: Service, device: str, *options: str) -> str:
    return str(service.data("devices", "request", device, "profile", "--space", SPACE, *options)["id"])


# --- what is asked is answered


def test_a_profile_is_answered_where_nothing_but_the_profiler_is_installed(service: Service) -> None:
    with service.client() as client:
        client.create_space(tiniest().model_dump(mode="json"))
    code = f"import sys; sys.modules.update(dict.fromkeys({NOT_ON_A_DEVICE})); from lutnas.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "agent", "--device", "new-bench", "--once", "--json"]
    environ = {**os.environ, **service.environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr  # nothing was asked; now the device is known
    asked = service.data("devices", "request", "new-bench", "profile", "--space", SPACE, "--note", "from afar")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    began, ended = map(json.loads, done.stdout.splitlines())
    assert [one["id"] for one in (began, ended)] == [asked["id"]] * 2
    assert [one["state"] for one in (began, ended)] == ["running", "succeeded"]
    table = service.data("tables", "show", ended["result"]["table"])
    assert (table["device"], table["threads"]) == ("new-bench", 1)
    assert table["note"].startswith("from afar; ")
    assert service.data("tables", "coverage", table["id"], "--space", SPACE)["covered"]
    assert drafts(service, "new-bench") == []
    assert f"table={table['id']}" in service.lutnas("devices", "requests", "new-bench").stdout


def test_a_calibration_is_answered_with_what_was_timed(service: Service, device: str, tmp_path: Path) -> None:
    table = uploaded(service, device, tmp_path / "bench.csv", tiniest().operators())
    options = ["--table", table, "--space", SPACE, "--networks", "4"]
    asked = service.data("devices", "request", device, "calibrate", *options)
    done = service.lutnas("agent", "--device", device, "--once")
    assert done.exit_code == 0, done.stderr
    with service.client() as client:
        result = client.requests.get(asked["id"])["result"]
        assert result is not None
        assert (result["table"], result["networks"]) == (table, 4)
        assert len(list(client.measurements(table))) == 4


def test_a_network_is_timed_as_its_table_was(service: Service, device: str, tmp_path: Path) -> None:
    table = uploaded(service, device, tmp_path / "bench.csv", NETWORK)
    with service.client() as client:
        spec = {"kind": "time", "table": table, "operators": [asdict(operator) for operator in NETWORK]}
        asked = client.requests.submit(device, spec)
        done = service.lutnas("agent", "--device", device, "--once")
        assert done.exit_code == 0, done.stderr
        result = client.requests.get(asked["id"])["result"]
    assert result is not None
    assert result["table"] == table
    assert 1 < result["latency_us"] < 1e4
    assert f"table={table}" in service.lutnas("devices", "requests", device).stdout


def test_a_verification_is_answered_with_what_was_measured(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)
    finish(service, database, take(database, job["id"]), files={"model.onnx": model()})
    name = service.data("jobs", "show", job["id"])["architecture"]
    asked = service.data("devices", "request", "board", "verify", "--architecture", name)
    done = service.lutnas("agent", "--device", "board", "--once")
    assert done.exit_code == 0, done.stderr
    with service.client() as client:
        result = client.requests.get(asked["id"])["result"]
    (kept,) = service.data("architectures", "show", name)["measured"]
    assert result is not None
    assert (result["architecture"], result["latency_us"]) == (name, kept["latency_us"])
    assert kept["device"] == "board"


# --- the agent is ended, in any way


def test_an_agent_that_was_killed_goes_on_from_its_draft(service: Service, database: Database, device: str) -> None:
    request = ask_profile(service, device, "--width", "0.5")  # not all that the space itself needs
    with working(service, device) as process:
        until(lambda: len(lines_of_draft(service, device)) > 200, process)
        process.kill()
        process.communicate()
    before = lines_of_draft(service, device)
    done = service.lutnas("agent", "--device", device, "--once")
    assert "another agent is at work" in done.stderr  # for all that the service knows
    with database.write() as session:
        past = db_now(session) - 1
        session.execute(update(DeviceRequest).where(DeviceRequest.id == request).values(lease_expires_us=past))
    with working(service, device, "--once") as process:
        until(lambda: len(lines_of_draft(service, device)) > len(before) + 20, process)
        assert lines_of_draft(service, device)[: len(before)] == before
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    with service.client() as client:
        found = client.requests.get(request)
    assert (found["state"], found["attempt"]) == ("succeeded", 2)
    assert drafts(service, device) == []


@pytest.mark.parametrize(
    ("number", "options", "code"), [(signal.SIGINT, (), 0), (signal.SIGTERM, (), 0), (signal.SIGTERM, ("--once",), 143)]
)
def test_an_agent_that_is_asked_to_end_gives_its_request_back(
    service: Service, device: str, number: signal.Signals, options: tuple[str, ...], code: int
) -> None:
    """With --once nothing was answered, and the code says so."""
    request = ask_profile(service, device)
    with working(service, device, *options) as process:
        until(lambda: lines_of_draft(service, device), process)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code, said
    assert f"gave {request} back\nstopped\n" in said
    assert "Traceback" not in said
    assert len(drafts(service, device)) == 1
    with service.client() as client:
        again = client.requests.claim(device, "another agent")
        assert again is not None
        assert (again["request"]["id"], again["lease"]["attempt"]) == (request, 2)


ASKED: Any = {
    "id": "req_1", "kind": "profile", "device": "bench",
    "spec": {"space": SPACE, "runtime": "onnxruntime", "threads": 1, "seed": 0, "note": ""},
}  # fmt: skip


OPERATORS = Answer(json.dumps({"operators": [asdict(operator) for operator in NETWORK]}).encode())
TABLE = Answer(b'{"id": "tbl_1"}')


def test_an_agent_that_is_stopped_while_it_sends_a_table_goes_on_from_its_draft(tmp_path: Path) -> None:
    timed = list[int]()

    def stop(seconds: float) -> None:
        raise Stopped

    def watch(done: int, total: int, seconds_left: float) -> None:
        timed.append(done)

    with scripted([OPERATORS, Answer(status=0)]) as server:
        client = Client(server.url, sleep=stop, attempts=None)
        with client, pytest.raises(Stopped):
            answer(client, ASKED, watch, folder=tmp_path, sleep=stop)
    (draft,) = tmp_path.iterdir()
    assert len(draft.read_text().splitlines()) == 1 + timed[-1]  # all that was timed
    with scripted([OPERATORS, TABLE]) as server, Client(server.url) as client:
        assert answer(client, ASKED, watch, folder=tmp_path, sleep=stop) == {"table": "tbl_1"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", ["lutnas profile draft,of onnxruntime before its upgrade", "0,1,\0\0"])
def test_an_agent_whose_draft_fits_no_more_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str
) -> None:
    draft = tmp_path / "req_1.draft"
    draft.write_text(f"{first}\n0,100\n")
    with scripted([OPERATORS, TABLE]) as server, Client(server.url) as client:
        found = answer(client, ASKED, lambda *_: None, folder=tmp_path, sleep=time.sleep)
    assert found == {"table": "tbl_1"}
    assert f"warning: {draft} is of other operators" in capsys.readouterr().err
    assert not draft.exists()


def test_an_idle_agent_ends_at_once(service: Service, device: str) -> None:
    with working(service, device, "--poll", "3600") as process:
        assert process.stderr is not None
        assert "asking" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (0, "stopped\n")


def test_a_cancelled_request_is_left_and_the_code_says_so(service: Service, device: str) -> None:
    request = ask_profile(service, device)
    with working(service, device, "--once") as process:
        until(lambda: lines_of_draft(service, device), process)
        assert service.data("devices", "cancel", request)["asked"] == "cancel"
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3, said
    assert state(service, request) == "cancelled"


def test_drafts_of_requests_that_came_to_their_end_are_removed(service: Service, device: str) -> None:
    left = service.home / "agent" / device / "req_long_ago.draft"
    left.parent.mkdir(parents=True)
    left.write_text("")
    (other := left.with_name("bench.csv.draft")).write_text("of `lutnas profile --output bench.csv`")
    ask_profile(service, device)
    with working(service, device) as process:
        until(lambda: not left.exists(), process)
    assert other.exists()


def test_one_agent_at_a_time_works_in_a_folder(service: Service, device: str) -> None:
    with working(service, device) as process:
        until((service.home / "agent" / device / "lock").exists, process)
        done = service.lutnas("agent", "--device", device, "--once")
    assert done.exit_code == 1
    assert "another agent works in" in done.stderr


# --- what goes wrong


def test_nobody_at_the_address_is_exit_code_4_where_one_answer_is_wanted(service: Service) -> None:
    done = service.lutnas("agent", "--device", "far-away", "--once", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 4


def test_a_request_that_fails_tells_why_and_the_next_one_is_answered(service: Service, table: Any) -> None:
    options = ["--table", table["id"], "--space", "fbnet-mini"]
    requests = [service.data("devices", "request", "board", "calibrate", *options)["id"] for _ in range(2)]
    with working(service, "board") as process:
        until(lambda: state(service, requests[1]) == "failed", process)
        assert state(service, requests[0]) == "failed"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert "is of made-up" in said
    with service.client() as client:
        error = client.requests.get(requests[0])["error"]
    assert error is not None
    assert "is of made-up" in error["detail"]


def test_who_waits_hears_how_it_ended(service: Service, table: Any) -> None:
    options = ["--table", table["id"], "--space", "fbnet-mini", "--wait", "--json"]
    waiting = service.process("devices", "request", "board", "calibrate", *options)
    assert waiting.stderr is not None
    waiting.stderr.readline()
    done = service.lutnas("agent", "--device", "board", "--once")
    assert done.exit_code == 1
    told, said = waiting.communicate(timeout=PATIENCE_SECONDS)
    assert waiting.returncode == 1
    assert json.loads(told)["state"] == "failed"
    assert "error: Invalid value for TABLE" in said


def test_who_waits_goes_on_while_the_service_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lutnas.cli.requests.LOOK_SECONDS", 0.0)
    request = {"id": "req_1", "device": "bench", "kind": "profile", "asked": None, "silent": False, "error": None}
    states = [
        Answer(json.dumps({**request, "state": "running", "result": None}).encode()),
        Answer(json.dumps({"status": 503, "title": "away", "type": "x"}).encode(), 503, "application/problem+json"),
        Answer(status=502),
        Answer(json.dumps({**request, "state": "succeeded", "result": {"table": "tbl_1"}}).encode()),
    ]
    with scripted(states) as server:
        asked = ["devices", "request", "bench", "profile", "--space", SPACE, "--wait", "--url", server.url]
        done = CliRunner().invoke(cli, [*asked, "--token", "t"], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "succeeded table=tbl_1\n"), done.output


def test_what_does_not_fit_the_kind_is_refused_by_field(service: Service, device: str) -> None:
    done = service.lutnas("devices", "request", device, "verify", "--networks", "3", "--threads", "1")
    assert done.exit_code == 1
    assert "architecture: is missing" in done.stderr
    assert "networks: is no field that is known here" in done.stderr


def test_an_agent_waits_for_a_service_that_is_not_there_yet(tmp_path: Path) -> None:
    port = free_port()
    away = Service(f"http://127.0.0.1:{port}", tmp_path / "home")
    environ = {**os.environ, **away.environ, "LUTNAS_URL": away.url}
    command = [*PROGRAM, "serve", "--port", str(port)]

    def serving() -> Any:
        return running(command, lambda: is_healthy(away.url), cwd=tmp_path, env=environ, log=tmp_path / "log")

    with serving():
        pass  # now there is a token
    with working(away, "far-away", "--url", away.url) as process:
        assert process.stderr is not None
        assert "Connection refused; trying again in" in process.stderr.readline()
        with serving(), away.client() as client:
            until(lambda: "far-away" in [device["name"] for device in client.devices()], process)
