"""`lutnas jobs reproduce`: what it says and which code it ends with, with the test in the part of a worker."""

import json
import subprocess
from typing import Any

import pytest

from api.db.session import Database
from api.jobs.lease import fail
from api.jobs.models import SearchJob
from tests.e2e.conftest import until
from tests.lutnas.conftest import Service
from tests.lutnas.part_of_a_worker import finish, submit, take

FILES = {"evidence.json": b"evidence", "report.json": b'{"environment": {"torch": "2.13.0", "threads": 1}}'}
ELSEWHERE = {**FILES, "report.json": b'{"environment": {"torch": "2.12.1", "threads": 1}}'}


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def done(service: Service, database: Database, spec: dict[str, Any]) -> str:
    """A job that has succeeded."""
    job: str = submit(service, spec)["id"]
    finish(service, database, take(database, job), files=FILES)
    return job


def newest(service: Service, first: str) -> str:
    """The job that repeats `first`, as soon as the command has submitted it."""

    def repeating() -> str | None:
        queued: list[Any] = service.data("jobs", "list", "--state", "queued")
        return next((str(job["id"]) for job in queued if job["reproduces"] == first), None)

    return str(until(repeating))


def test_the_same_files_are_told_by_exit_code_0(service: Service, database: Database, done: str) -> None:
    process = service.process("jobs", "reproduce", done, "--json")
    again = newest(service, done)
    finish(service, database, take(database, again), files=FILES)
    code, out, err = ended(process)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert (lines[0]["id"], lines[0]["state"], lines[0]["reproduces"]) == (again, "queued", done)
    assert lines[-2]["state"] == "succeeded"
    assert (lines[-1]["same"], lines[-1]["reproduces"], lines[-1]["job"]) == (True, done, again)
    assert service.data("jobs", "reproduction", again) == lines[-1]
    shown = service.lutnas("jobs", "reproduction", again)
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (0, "the same")


def test_other_files_are_named_with_the_environments_by_exit_code_1(
    service: Service, database: Database, done: str
) -> None:
    process = service.process("jobs", "reproduce", done)
    again = newest(service, done)
    finish(service, database, take(database, again), files={**ELSEWHERE, "model.onnx": b"another"})
    code, out, err = ended(process)
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert (rows["model.onnx"][0], rows["weights.safetensors"][0]) == ("no", "yes")
    assert rows["torch"] == ["2.13.0", "2.12.1"]
    assert out.splitlines()[-1].strip() == "not the same"
    assert "they ran in different environments" in err
    assert service.data("jobs", "reproduction", again, code=1)["same"] is False


def test_other_files_of_a_job_that_asks_devices_are_no_defect(service: Service, database: Database, done: str) -> None:
    process = service.process("jobs", "reproduce", done)
    again = newest(service, done)
    with database.write() as session:
        row = session.get_one(SearchJob, again)
        row.spec = {**row.spec, "on_device": {"wait_seconds": 3600.0}}
    finish(service, database, take(database, again), files={**FILES, "model.onnx": b"another"})
    assert ended(process)[0] == 1
    told = "devices timed networks for each of the two, and what they measured may have chosen another network"
    assert told in service.lutnas("jobs", "reproduction", again).stderr


def test_without_waiting_the_verdict_is_asked_for_later(service: Service, database: Database, done: str) -> None:
    again = service.data("jobs", "reproduce", done, "--no-wait", "--key", f"again-{done}")
    assert again["reproduces"] == done
    assert service.data("jobs", "reproduce", done, "--no-wait", "--key", f"again-{done}")["id"] == again["id"]
    early = service.lutnas("jobs", "reproduction", again["id"])
    assert early.exit_code == 1
    assert f"{again['id']} is queued, there is nothing to compare" in early.stderr
    finish(service, database, take(database, again["id"]), files=FILES)
    with service.client() as client:
        assert client.reproduction(again["id"])["same"] is True


def test_a_repetition_that_fails_ends_as_watching_it_would(service: Service, database: Database, done: str) -> None:
    process = service.process("jobs", "reproduce", done)
    lease = take(database, newest(service, done))
    with database.write() as session:
        fail(session, lease, problem={"title": "Data out of reach", "detail": "the disk is gone"})
    code, _, err = ended(process)
    assert (code, "the disk is gone" in err) == (1, True)


def test_a_job_that_cannot_be_repeated_is_refused(service: Service, spec: dict[str, Any]) -> None:
    job = submit(service, spec)["id"]
    refused = service.lutnas("jobs", "reproduce", job)
    assert refused.exit_code == 1
    assert "only a job that succeeded can be repeated" in refused.stderr
    assert "repeats no other" in service.lutnas("jobs", "reproduction", job).stderr
