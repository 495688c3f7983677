"""A worker without a job takes part in the comparison of one that runs, in this process: at a step of the job's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from api.db.session import Database
from api.jobs.lease import claim
from api.jobs.models import ComparedNetwork, SearchJob
from api.settings import Settings
from tests.e2e.conftest import spec
from tests.workers.test_storing import FullFor
from workers.aiding import aid
from workers.heart import AttemptHeart
from workers.log import AttemptLog
from workers.runner import Attempt, run_job

SMALL: dict[str, Any] = {
    "search": {"epochs": 1, "warmup_epochs": 0, "batch_size": 256, "evidence_samples": 8}, "finalists": 1,
    "finish": {"epochs": 1, "batch_size": 256}, "baselines": ["random"], "comparison": {"seeds": 2},
}  # fmt: skip


class AtAStep:
    """The job's worker asks at each step whether to stop. Once, in the middle of its second network, this happens."""

    def __init__(self, database: Database, happens: Callable[[], object]) -> None:
        self.database, self.happens, self.done = database, happens, False

    def __call__(self) -> bool:
        if not self.done and self._has_begun():
            self.done = True
            self.happens()
        return False

    def _has_begun(self) -> bool:
        second = (ComparedNetwork.number == 2) & (ComparedNetwork.state == "running")
        with self.database.read() as session:
            return session.scalars(select(ComparedNetwork).where(second)).first() is not None


def result(client: TestClient, job: str) -> list[dict[str, Any]]:
    """The networks of a job that has succeeded."""
    found = client.get(f"/v1/search-jobs/{job}").json()
    assert found["state"] == "succeeded", found["error"]
    listed: list[dict[str, Any]] = client.get(f"/v1/search-jobs/{job}/comparison").json()["items"]
    return listed


def came(networks: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["method"], one["seed"], one["before"], one["after"], one["predicted"]) for one in networks]


@pytest.fixture
def submitted(client: TestClient) -> Callable[..., str]:
    def submit(**more: Any) -> str:
        answer = client.post("/v1/search-jobs", json=spec(**SMALL, **more))
        assert answer.status_code == 201, answer.text
        job: str = answer.json()["id"]
        return job

    return submit


def never() -> bool:
    return False


def test_what_another_worker_trained_stands_in_the_job_and_is_the_same(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str]
) -> None:
    alone, shared = submitted(), submitted()
    run_job(alone, settings, drain=never)
    seen = AtAStep(database, lambda: aid(database, settings, worker="other", drain=never))
    run_job(shared, settings, drain=seen)
    assert seen.done
    networks = result(client, shared)
    assert [network["worker"] == "other" for network in networks] == [False, False, True, True]
    assert came(networks) == came(result(client, alone))
    assert {network["step"] - network["steps"] for network in networks} == {0}


def test_a_worker_that_is_told_to_stop_gives_its_network_back(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str]
) -> None:
    job = submitted()
    states = []

    def stop() -> None:
        aid(database, settings, worker="other", drain=iter((False, True)).__next__)
        states.extend(client.get(f"/v1/search-jobs/{job}/comparison").json()["items"])

    run_job(job, settings, drain=AtAStep(database, stop))
    assert [(one["state"], one["attempt"]) for one in states[2:]] == [("queued", 1), ("queued", 0)]
    assert [(one["attempt"], one["lost"], one["problem"]) for one in result(client, job)[2:]] == [
        (2, 0, None), (1, 0, None),
    ]  # fmt: skip


def test_a_worker_that_cannot_load_the_inputs_takes_no_network(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str], tmp_path: Path
) -> None:
    job = submitted()
    elsewhere = settings.model_copy(update={"artifacts": tmp_path / "another store"})
    seen = AtAStep(database, lambda: aid(database, elsewhere, worker="other", drain=never))
    run_job(job, settings, drain=seen)
    assert seen.done
    assert {network["attempt"] for network in result(client, job)} == {1}


def test_a_worker_whose_network_was_taken_from_it_writes_nothing_and_takes_another(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str]
) -> None:
    """Its claim is an old one by the time that it comes to the end."""
    job = submitted()

    def taken() -> bool:
        mine = (ComparedNetwork.worker == "slow") & (ComparedNetwork.number == 3)
        with database.write() as session:
            session.execute(update(ComparedNetwork).where(mine).values(worker="another"))
        return False

    def give_up() -> None:
        aid(database, settings, worker="slow", drain=taken)
        with database.write() as session:
            lost = ComparedNetwork.worker == "another"
            session.execute(update(ComparedNetwork).where(lost).values(lease_expires_us=1))

    run_job(job, settings, drain=AtAStep(database, give_up))
    networks = result(client, job)
    assert [(one["worker"] == "slow", one["attempt"], one["lost"]) for one in networks[2:]] == [
        (False, 2, 1), (True, 1, 0),
    ]  # fmt: skip


def test_an_error_elsewhere_leaves_the_network_to_the_jobs_own_worker(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str]
) -> None:
    """A bound of memory that only the other worker finds: the job's own read its limits before."""
    job = submitted()
    broken: list[dict[str, Any]] = []

    def fail() -> None:
        with database.write() as session:
            session.execute(update(SearchJob).values(limits={"max_memory_bytes": 2**20}))
        aid(database, settings, worker="other", drain=never)
        broken.extend(client.get(f"/v1/search-jobs/{job}/comparison").json()["items"])

    run_job(job, settings, drain=AtAStep(database, fail))
    assert [(one["state"], (one["problem"] or {}).get("type")) for one in broken[2:]] == [
        ("queued", "urn:lutnas:problem:memory-limit"), ("queued", None),
    ]  # fmt: skip
    assert [network["attempt"] for network in result(client, job)] == [1, 1, 2, 1]


def test_without_room_for_a_checkpoint_the_job_compares_alone_and_says_so(
    client: TestClient, database: Database, settings: Settings, submitted: Callable[..., str]
) -> None:
    job, patient = submitted(), settings.model_copy(update={"checkpoint_seconds": 3600.0})
    with database.write() as session:
        lease = claim(session, job, worker="own", lease_seconds=60)
    assert lease is not None
    full = FullFor(settings.home / "artifacts", 1)
    with AttemptLog(1000) as log, AttemptHeart(database, lease, log, lease_seconds=60) as heart:
        Attempt(lease, patient, database, full, heart, log, drain=never).run()
    assert result(client, job) == []
    events = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    (warning,) = [event["data"]["detail"] for event in events if event["kind"] == "warning"]
    assert "there is no room, or the artifact store does not answer" in warning
    assert [event["data"]["network"] for event in events if "network" in event["data"]][-1] == 4
