"""The lease: one attempt at a time writes, whatever is lost, killed or late."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from api.artifacts.store import ArtifactStore
from api.db.session import Database, db_now
from api.jobs import events
from api.jobs.lease import (
    Lease,
    LeaseLost,
    Order,
    claim,
    claim_next,
    fail,
    heartbeat,
    latest_checkpoint,
    release,
    report,
    save_checkpoint,
    succeed,
)
from api.jobs.models import SearchJob
from api.jobs.sweep import is_elected, resign, runnable_jobs, sweep
from api.settings import Settings
from tests.api.making import an_architecture, stored, submit


def take(database: Database, job_id: str, worker: str = "a") -> Lease | None:
    with database.write() as session:
        return claim(session, job_id, worker=worker, lease_seconds=60)


def taken(database: Database, job_id: str, worker: str = "a") -> Lease:
    lease = take(database, job_id, worker)
    assert lease is not None
    return lease


def run_out(database: Database, job_id: str) -> None:
    """Moves the stored end of the lease into the past."""
    with database.write() as session:
        session.execute(update(SearchJob).where(SearchJob.id == job_id).values(lease_expires_us=db_now(session) - 1))


def swept(database: Database, **later: float) -> list[str]:
    with database.write() as session:
        now = db_now(session) + round(later.get("seconds", 0) * 1_000_000)
        return sweep(session, now, requeue_seconds=30)


def job_row(database: Database, job_id: str) -> SearchJob:
    with database.read() as session:
        return session.get_one(SearchJob, job_id)


def test_of_many_claims_at_once_one_wins(database: Database, job: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda n: take(database, job, f"worker-{n}"), range(8)))
    (won,) = [lease for lease in leases if lease is not None]
    assert won.attempt == 1
    assert job_row(database, job).lease_worker == won.worker


def test_a_lost_lease_can_write_nothing(database: Database, settings: Settings, job: str) -> None:
    store, old = ArtifactStore(settings.artifacts), taken(database, job, "old")
    run_out(database, job)
    new = taken(database, job, "new")
    assert new.attempt == 2
    late = stored(store, old, "late.bin")
    before = job_row(database, job).last_event_id
    with database.write() as session:
        assert heartbeat(session, old, 60) is Order.LOST
    writes: list[Callable[[Session], object]] = [
        lambda session: report(session, old, kind="progress", step=1, data={"phase": "search"}),
        lambda session: save_checkpoint(session, old, step=1, artifact=late),
        lambda session: succeed(session, old, architecture=an_architecture(), artifacts=[late]),
        lambda session: fail(session, old, problem={"detail": "late"}),
        lambda session: release(session, old, state="queued", reason="late"),
    ]
    for write in writes:
        with pytest.raises(LeaseLost), database.write() as session:
            write(session)
    found = job_row(database, job)
    assert (found.state, found.attempt, found.last_event_id, found.error) == ("running", 2, before, None)
    with database.read() as session:
        assert latest_checkpoint(session, job) is None


def test_a_lease_that_ran_out_is_taken_from_its_worker_and_rung_for_again(database: Database, job: str) -> None:
    lease = taken(database, job)
    assert swept(database) == []
    run_out(database, job)
    with database.read() as session:
        assert runnable_jobs(session) == [job]
    assert swept(database) == [job]
    assert job_row(database, job).state == "queued"
    with database.write() as session:
        assert heartbeat(session, lease, 60) is Order.LOST


def test_a_heartbeat_keeps_the_lease(database: Database, job: str) -> None:
    lease = taken(database, job)
    run_out(database, job)
    with database.write() as session:
        assert heartbeat(session, lease, 60) is Order.CONTINUE
    assert swept(database) == []


def test_a_job_nobody_took_is_rung_for_less_and_less_often(database: Database, job: str) -> None:
    rung_at = [second for second in range(0, 1000, 10) if swept(database, seconds=second + 1)]
    assert rung_at == [30, 90, 210, 450, 930]


def test_attempts_lost_without_a_new_checkpoint_fail_the_job(database: Database, job: str) -> None:
    for attempt in (1, 2, 3):
        assert taken(database, job).attempt == attempt
        run_out(database, job)
    assert take(database, job) is None
    found = job_row(database, job)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["type"] == "urn:lutnas:problem:workers-lost"
    assert found.finished_at is not None


def test_a_new_checkpoint_makes_lost_attempts_forgotten(database: Database, settings: Settings, job: str) -> None:
    store = ArtifactStore(settings.artifacts)
    for attempt in range(1, 8):
        lease = taken(database, job)
        assert lease.attempt == attempt
        if attempt % 2 == 0:
            with database.write() as session:
                file = stored(store, lease, f"checkpoint-{attempt}")
                save_checkpoint(session, lease, step=attempt, artifact=file)
        run_out(database, job)
    assert job_row(database, job).state == "running"


def test_an_orderly_release_never_counts_as_a_lost_attempt(database: Database, job: str) -> None:
    for _ in range(5):
        lease = taken(database, job)
        with database.write() as session:
            release(session, lease, state="queued", reason="the worker is stopping")
        assert swept(database) == [job]
    assert job_row(database, job).state == "queued"


def test_a_checkpoint_replaces_the_one_before_and_names_its_file(
    database: Database, settings: Settings, job: str
) -> None:
    store, lease = ArtifactStore(settings.artifacts), taken(database, job)
    paths = []
    for step in (10, 20):
        with database.write() as session:
            file = stored(store, lease, f"checkpoint-{step}")
            paths.append((file.path_in_store, save_checkpoint(session, lease, step=step, artifact=file)))
    assert paths[0][1] == []
    assert paths[1][1] == [paths[0][0]]
    with database.read() as session:
        kept = latest_checkpoint(session, job)
    assert kept is not None
    assert (kept.path, kept.step) == (paths[1][0], 20)


def test_cancel_and_pause_come_back_with_the_heartbeat(client: TestClient, database: Database, job: str) -> None:
    lease = taken(database, job)
    assert client.post(f"/v1/search-jobs/{job}/pause").json()["asked"] == "pause"
    with database.write() as session:
        assert heartbeat(session, lease, 60) is Order.PAUSE
        release(session, lease, state="paused", reason="asked to")
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "paused"
    assert client.post(f"/v1/search-jobs/{job}/resume").json()["state"] == "queued"
    lease = taken(database, job)
    assert client.post(f"/v1/search-jobs/{job}/cancel").json()["asked"] == "cancel"
    with database.write() as session:
        assert heartbeat(session, lease, 60) is Order.CANCEL
        release(session, lease, state="cancelled", reason="asked to")
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "cancelled"
    assert client.post(f"/v1/search-jobs/{job}/resume").status_code == 409


@pytest.mark.parametrize(("by_user", "becomes"), [(True, "queued"), (False, "paused")])
def test_a_pause_that_was_taken_back_does_not_stand(
    client: TestClient, database: Database, job: str, by_user: bool, becomes: str
) -> None:
    """That of who waits in vain does: nobody asked for it."""
    lease = taken(database, job)
    client.post(f"/v1/search-jobs/{job}/pause")
    client.post(f"/v1/search-jobs/{job}/resume")
    with database.write() as session:
        release(session, lease, state="paused", reason="told to", by_user=by_user)
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == becomes


def test_a_cancelled_job_whose_worker_dies_is_cancelled_by_the_sweep(
    client: TestClient, database: Database, job: str
) -> None:
    taken(database, job)
    client.post(f"/v1/search-jobs/{job}/cancel")
    run_out(database, job)
    assert swept(database) == []
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "cancelled"


def test_a_release_obeys_what_the_user_asked_meanwhile(client: TestClient, database: Database, job: str) -> None:
    lease = taken(database, job)
    client.post(f"/v1/search-jobs/{job}/cancel")
    with database.write() as session:
        release(session, lease, state="queued", reason="the worker is stopping")
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "cancelled"


def test_a_queued_job_is_cancelled_paused_and_resumed_at_once(client: TestClient, database: Database, job: str) -> None:
    assert client.post(f"/v1/search-jobs/{job}/pause").json()["state"] == "paused"
    assert take(database, job) is None
    assert client.post(f"/v1/search-jobs/{job}/resume").json()["state"] == "queued"
    assert client.post(f"/v1/search-jobs/{job}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/v1/search-jobs/{job}/cancel").status_code == 200
    assert take(database, job) is None


def test_success_makes_architecture_and_artifacts_real(
    client: TestClient, database: Database, settings: Settings, job: str
) -> None:
    store, lease = ArtifactStore(settings.artifacts), taken(database, job)
    names = ["architecture.json", "model.onnx", "report.json", "weights.safetensors"]
    with database.write() as session:
        checkpoint = stored(store, lease, "checkpoint")
        save_checkpoint(session, lease, step=1, artifact=checkpoint)
        files = [stored(store, lease, name, name.encode()) for name in names]
        assert succeed(session, lease, architecture=an_architecture(), artifacts=files) == [checkpoint.path_in_store]
    found = client.get(f"/v1/search-jobs/{job}").json()
    derived = client.get(f"/v1/search-jobs/{job}/architecture").json()
    assert (found["state"], found["architecture"]) == ("succeeded", derived["id"])
    assert derived["test_accuracy"] == 0.9
    assert [artifact["name"] for artifact in derived["artifacts"]] == names
    assert client.get(f"/v1/architectures/{derived['id']}/artifacts/model.onnx").content == b"model.onnx"
    assert [a["id"] for a in client.get("/v1/architectures").json()["items"]] == [derived["id"]]
    assert client.get(f"/v1/architectures/{derived['id']}/artifacts/nothing").status_code == 404


def test_event_ids_have_no_gaps_when_many_report_at_once(database: Database, job: str) -> None:
    lease = taken(database, job)

    def say(step: int) -> None:
        with database.write() as session:
            report(session, lease, kind="progress", step=step, data={"phase": "search", "steps": 40})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(say, range(40)))
    with database.read() as session:
        found = events.after(session, job, 0, 1000)
    assert [event.id for event in found] == list(range(1, len(found) + 1))
    assert {event.step for event in found if event.kind == "progress"} == set(range(40))


def test_one_process_at_a_time_is_elected_to_sweep(database: Database) -> None:
    with database.write() as session:
        assert is_elected(session, "one", seconds=60)
        assert not is_elected(session, "two", seconds=60)
        assert is_elected(session, "one", seconds=60)
        resign(session, "one")
        assert is_elected(session, "two", seconds=60)
        assert not is_elected(session, "one", seconds=60)


def test_jobs_of_one_sweep_are_all_rung_for(client: TestClient, database: Database, device: str) -> None:
    submitted = {submit(client) for _ in range(5)}
    assert set(swept(database, seconds=31)) == submitted


# SQLite has one writer at a time, and a machine that is gone takes its database along.
on_postgres = pytest.mark.parametrize("migrated_url", ["postgres"], indirect=True)


@on_postgres
def test_a_row_that_another_holds_keeps_no_other_job_from_being_swept(
    client: TestClient, database: Database, device: str
) -> None:
    """As a worker does whose machine is gone in the middle of a write."""
    jobs = [submit(client, name=name) for name in ("held", "lost", "waits")]
    for job_id in jobs[:2]:
        taken(database, job_id)
        run_out(database, job_id)
    with database.write() as holder:
        events.locked(holder, jobs[0])
        assert jobs[2] in swept(database, seconds=31)
        assert [job_row(database, job_id).state for job_id in jobs] == ["running", "queued", "queued"]
        with database.write() as session:
            lease = claim_next(session, jobs[0], worker="b", lease_seconds=60)
        assert lease is not None
        assert lease.job_id == jobs[1]
    swept(database)
    assert job_row(database, jobs[0]).state == "queued"


@on_postgres
def test_a_transaction_that_has_been_silent_for_minutes_is_ended(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "5min"
