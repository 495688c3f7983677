"""Priorities, limits and clones: when a job runs, what it may take, and the same document once more."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.db.session import Database
from api.jobs.attempts import seconds_spent
from api.jobs.lease import Lease, claim_next, release
from api.jobs.models import JobAttempt
from tests.api.making import a_job, a_table_csv, submit
from tests.api.test_lease import job_row, run_out, taken


def next_of(database: Database, rung_for: str, worker: str = "a") -> Lease | None:
    with database.write() as session:
        return claim_next(session, rung_for, worker=worker, lease_seconds=60)


def test_a_ring_takes_the_highest_priority_and_the_oldest_of_equals(
    client: TestClient, database: Database, device: str
) -> None:
    priorities = [0, 5, -10, 5, 10]
    submitted = [submit(client, priority=priority) for priority in priorities]
    order = [next_of(database, rung_for) for rung_for in submitted]
    assert [lease and lease.job_id for lease in order] == [submitted[n] for n in (4, 1, 3, 0, 2)]
    assert next_of(database, submitted[0]) is None  # a ring too many does no harm
    assert client.get(f"/v1/search-jobs/{submitted[1]}").json()["priority"] == 5


def test_those_that_come_last_are_taken_where_no_other_waits_and_they_are_named(
    client: TestClient, database: Database, device: str
) -> None:
    held_back, other = submit(client, priority=1), submit(client)

    def next_behind(rung_for: str) -> str | None:
        with database.write() as session:
            lease = claim_next(session, rung_for, worker="a", lease_seconds=60, last=[held_back])
        return None if lease is None else lease.job_id

    assert next_behind(held_back) == other
    assert next_behind(other) is None
    assert next_behind(held_back) == held_back


def test_workers_that_are_rung_at_once_take_different_jobs(client: TestClient, database: Database, device: str) -> None:
    submitted = [submit(client, priority=n % 3) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda pair: next_of(database, pair[1], f"w{pair[0]}"), enumerate(submitted)))
    assert {lease.job_id for lease in leases if lease} == set(submitted)


def test_a_job_whose_lease_ran_out_waits_with_the_others_once_it_is_named(
    client: TestClient, database: Database, device: str
) -> None:
    low, high = submit(client, priority=-1), submit(client, priority=1)
    taken(database, low)
    run_out(database, low)
    first = next_of(database, low)
    assert first is not None
    assert (first.job_id, job_row(database, low).state) == (high, "queued")


def test_a_poison_job_fails_and_the_ring_is_for_the_next(client: TestClient, database: Database, device: str) -> None:
    poison, other = submit(client, priority=1), submit(client)
    for _ in range(3):
        taken(database, poison)
        run_out(database, poison)
    lease = next_of(database, poison)
    assert lease is not None
    assert (lease.job_id, job_row(database, poison).state) == (other, "failed")


def test_the_seconds_of_all_attempts_are_counted_and_a_lost_one_until_its_lease_ended(
    database: Database, job: str
) -> None:
    for number in (1, 2):
        lease = taken(database, job)
        with database.write() as session:
            begun = (JobAttempt.job_id == job) & (JobAttempt.number == number)
            row = session.get_one(JobAttempt, (job, number))
            session.execute(update(JobAttempt).where(begun).values(started_at=row.started_at - timedelta(seconds=100)))
        if number == 1:
            with database.write() as session:
                release(session, lease, state="queued", reason="stopping")
        else:
            run_out(database, job)
    taken(database, job)
    with database.read() as session:
        assert 200 <= seconds_spent(session, job) < 210


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": 11}, "priority"),
        ({"limits": {"max_seconds": 0}}, "limits.max_seconds"),
        ({"limits": {"max_memory_bytes": 5}}, "limits.max_memory_bytes"),
        ({"limits": {"max_steps": 5}}, "limits.max_steps"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_name(client: TestClient, changes: dict[str, object], field: str) -> None:
    answer = client.post("/v1/search-jobs", json=a_job(**changes))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_a_clone_has_the_patched_document_and_the_tables_of_today(client: TestClient, device: str) -> None:
    document = {"priority": 3, "limits": {"max_seconds": 60.0}, "labels": {"team": "cam"}, "seed": 5}
    first = client.get(f"/v1/search-jobs/{submit(client, **document)}").json()
    again = client.post(f"/v1/search-jobs/{first['id']}/clone").json()
    same = ("spec", "pins", "priority", "limits", "labels")
    assert again["id"] != first["id"]
    assert [again[name] for name in same] == [first[name] for name in same]
    patch = {"seed": 6, "labels": {"team": None, "try": "2"}, "limits": None, "search": {"epochs": 5}}
    changed = client.post(f"/v1/search-jobs/{first['id']}/clone", json=patch).json()
    spec = changed["spec"]
    assert (spec["seed"], spec["search"]["epochs"], spec["search"]["batch_size"]) == (6, 5, 128)
    assert (changed["labels"], changed["limits"]["max_seconds"]) == ({"try": "2"}, None)
    client.post("/v1/devices/cpu/tables", content=a_table_csv(scale=2.0), headers={"Content-Type": "text/csv"})
    today = client.post(f"/v1/search-jobs/{first['id']}/clone")
    assert (today.status_code, today.json()["type"]) == (422, "urn:lutnas:problem:table-not-named")


def test_a_patch_that_makes_no_job_is_refused_by_field_and_a_key_makes_one_clone(client: TestClient, job: str) -> None:
    wrong = client.post(f"/v1/search-jobs/{job}/clone", json={"search": {"epochs": "many"}, "space": None})
    assert wrong.status_code == 422
    assert {error["field"] for error in wrong.json()["errors"]} == {"search.epochs", "space"}
    asked = [
        client.post(f"/v1/search-jobs/{job}/clone", json={"seed": seed}, headers={"Idempotency-Key": "once"})
        for seed in (1, 1, 2)
    ]
    assert [answer.status_code for answer in asked] == [201, 200, 409]
    assert asked[0].json()["id"] == asked[1].json()["id"]
