"""Attempts: each claim leaves a row that says how it ended, and what its worker logged."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.attempts import TRACEBACK_CHARACTERS
from api.jobs.lease import LeaseLost, describe, fail, keep_log, release, report, succeed
from api.settings import Settings
from tests.api.making import an_architecture, stored
from tests.api.test_lease import run_out, swept, take, taken


def attempts(client: TestClient, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/search-jobs/{job}/attempts").json()["items"]
    return found


def test_each_attempt_tells_how_it_ended(client: TestClient, database: Database, settings: Settings, job: str) -> None:
    assert attempts(client, job) == []
    taken(database, job, "lost")
    run_out(database, job)
    swept(database)
    lease = taken(database, job, "stopped")
    with database.write() as session:
        describe(session, lease, environment={"torch": "2.10"})
        report(session, lease, kind="progress", step=7, data={"phase": "search"})
        release(session, lease, state="queued", reason="the worker was told to stop")
    lease = taken(database, job, "asked")
    client.post(f"/v1/search-jobs/{job}/pause")
    with database.write() as session:
        release(session, lease, state="queued", reason="the worker was told to stop")
    client.post(f"/v1/search-jobs/{job}/resume")
    lease = taken(database, job, "done")
    assert attempts(client, job)[-1]["ended"] is None
    with database.write() as session:
        succeed(session, lease, architecture=an_architecture(), artifacts=[])
    found = attempts(client, job)
    assert [(one["number"], one["worker"], one["ended"]) for one in found] == [
        (1, "lost", "lease-lost"), (2, "stopped", "drained"), (3, "asked", "paused"), (4, "done", "succeeded"),
    ]  # fmt: skip
    assert (found[1]["last_step"], found[2]["last_step"], found[1]["environment"]) == (7, None, {"torch": "2.10"})
    assert "ran out" in found[0]["reason"]
    assert all(one["started_at"] <= one["ended_at"] for one in found)


def test_a_failure_keeps_its_problem_and_the_end_of_its_traceback(
    client: TestClient, database: Database, job: str
) -> None:
    lease = taken(database, job)
    trace = "x" * TRACEBACK_CHARACTERS + "ValueError: the \0 end"
    with database.write() as session:
        fail(session, lease, problem={"type": "t", "detail": "d"}, traceback=trace)
    (found,) = attempts(client, job)
    assert (found["ended"], found["problem"]) == ("failed", {"type": "t", "detail": "d"})
    assert len(found["traceback"]) == TRACEBACK_CHARACTERS
    assert found["traceback"].endswith("ValueError: the \ufffd end")


def test_the_log_is_that_of_the_attempt_and_fenced(
    client: TestClient, database: Database, job: str, stranger: httpx.Headers
) -> None:
    old = taken(database, job)
    with database.write() as session:
        keep_log(session, old, "loading\nsteps of gold\ud800\0\n")
    run_out(database, job)
    taken(database, job)
    with pytest.raises(LeaseLost), database.write() as session:
        keep_log(session, old, "late")
    answer = client.get(f"/v1/search-jobs/{job}/attempts/1/log")
    assert answer.text == "loading\nsteps of gold?\ufffd\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert client.get(f"/v1/search-jobs/{job}/attempts/2/log").text == ""
    unknown = client.get(f"/v1/search-jobs/{job}/attempts/3/log")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:lutnas:problem:unknown-attempt")
    assert client.get(f"/v1/search-jobs/{job}/attempts/1/log", headers=stranger).status_code == 404


def test_a_poison_job_says_what_its_last_worker_logged(client: TestClient, database: Database, job: str) -> None:
    for number in (1, 2, 3):
        lease = taken(database, job)
        with database.write() as session:
            keep_log(session, lease, f"begun\nallocating for the {number}. time\n")
        run_out(database, job)
    assert take(database, job) is None
    error = client.get(f"/v1/search-jobs/{job}").json()["error"]
    assert (error["type"], error["attempt"]) == ("urn:lutnas:problem:workers-lost", 3)
    assert error["detail"].endswith("logged at its end: allocating for the 3. time")
    assert [one["ended"] for one in attempts(client, job)] == ["lease-lost"] * 3


def test_attempts_come_in_pages(client: TestClient, database: Database, settings: Settings, job: str) -> None:
    store = ArtifactStore(settings.artifacts)
    for _ in range(5):
        lease = taken(database, job)
        stored(store, lease, "file")
        with database.write() as session:
            release(session, lease, state="queued", reason="stopping")
    first = client.get(f"/v1/search-jobs/{job}/attempts", params={"limit": 3}).json()
    second = client.get(f"/v1/search-jobs/{job}/attempts", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [one["number"] for one in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert second["next_cursor"] is None
