"""Networks of a comparison: each is one worker's at a time, the job's attempt takes them in, and none is lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs import compared, sharing
from api.jobs.compared import NetworkLease, NetworkLost
from api.jobs.lease import Lease, LeaseLost, begin_anew, claim_next, describe, fail, latest_checkpoint, release
from api.jobs.models import ComparedNetwork
from api.jobs.sharing import NewNetwork, Standing
from api.settings import Settings
from tests.api.making import stored, submit
from tests.api.test_lease import job_row, run_out, swept, taken

HERE = {"torch": "2.10", "processor": "a"}
RESULT = {"before": 0.5, "after": 0.75, "predicted": {"cpu": 80.0}}
Share = Callable[..., Lease]


@pytest.fixture
def share(database: Database, settings: Settings, job: str) -> Share:
    """Takes the job, and shares out a comparison of so many networks."""

    def share_out(count: int = 4, *, worker: str = "own", job_id: str = job) -> Lease:
        lease = taken(database, job_id, worker)
        file = stored(ArtifactStore(settings.artifacts), lease, "checkpoint")
        networks = [
            NewNetwork(method="search" if number < 2 else "random", share=1.0, seed=number, steps=10, result=None)
            for number in range(count)
        ]
        with database.write() as session:
            describe(session, lease, environment={**HERE, "threads": 1})
            if not sharing.is_shared_out(session, lease):
                sharing.share_out(session, lease, networks, step=7, checkpoint=file)
        return lease

    return share_out


def take_own(database: Database, lease: Lease, first: int | None = None, known: tuple[int, ...] = ()) -> Standing:
    with database.write() as session:
        environment = {**HERE, "threads": 1}
        return sharing.take(session, lease, first=first, known=known, environment=environment, max_attempts=3)


def aid(database: Database, worker: str = "other", here: dict[str, Any] | None = None) -> NetworkLease | None:
    """What a worker without a job takes."""
    with database.read() as session:
        job_id = compared.job_with_work(session, here or HERE)
    if job_id is None:
        return None
    with database.write() as session:
        return compared.claim(session, job_id, worker=worker, here=here or HERE, lease_seconds=60)


def aided(database: Database, worker: str = "other") -> NetworkLease:
    lease = aid(database, worker)
    assert lease is not None
    return lease


def beats(database: Database, lease: NetworkLease) -> bool:
    with database.write() as session:
        return compared.heartbeat(session, lease, step=3, lease_seconds=60)


def fall_silent(database: Database, job_id: str) -> None:
    """The leases of all other workers end."""
    leased = (ComparedNetwork.job_id == job_id) & ComparedNetwork.lease_expires_us.is_not(None)
    with database.write() as session:
        session.execute(update(ComparedNetwork).where(leased).values(lease_expires_us=1))


def rows(client: TestClient, job: str, *fields: str) -> list[Any]:
    found = client.get(f"/v1/search-jobs/{job}/comparison").json()["items"]
    return [tuple(row[field] for field in fields) if len(fields) > 1 else row[fields[0]] for row in found]


def test_of_many_workers_each_takes_another_network_and_the_jobs_own_is_for_its_attempt(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    lease = share(9)
    with ThreadPoolExecutor(8) as pool:
        found = [one for one in pool.map(lambda n: aid(database, f"worker-{n}"), range(12)) if one is not None]
    assert sorted(one.number for one in found) == list(range(2, 10))
    assert {one.attempt for one in found} == {1}
    assert take_own(database, lease).mine == 1
    assert set(rows(client, job, "state")) == {"running"}
    assert rows(client, job, "environment")[1] == {**HERE, "threads": 1}


def test_a_job_that_a_worker_could_not_help_comes_behind_others(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    other = submit(client)
    share(job_id=job)
    share(job_id=other)
    with database.read() as session:
        found = [compared.job_with_work(session, HERE, last=last) for last in ((), (job,), (other,), (job, other))]
    assert found == [job, other, job, job]


def test_the_attempt_takes_in_what_others_did_and_goes_on_with_the_network_it_had(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    lease, other = share(), aided(database)
    assert beats(database, other)
    found = take_own(database, lease, first=4)
    assert (found.mine, found.others, found.results) == (4, {2: 3}, {})
    with database.write() as session:
        compared.finish(session, other, step=10, result=RESULT)
        assert sharing.note(session, lease, number=4, step=5) == {}
        sharing.finish(session, lease, number=4, result=RESULT)
    found = take_own(database, lease, known=(4,))
    assert (found.mine, found.others, found.results) == (1, {}, {2: RESULT})
    assert rows(client, job, "number", "state", "worker", "step", "after") == [
        (1, "running", "own", 0, None), (2, "done", "other", 10, 0.75), (3, "queued", None, 0, None),
        (4, "done", "own", 10, 0.75),
    ]  # fmt: skip


def test_a_lost_lease_of_a_network_can_write_nothing(database: Database, share: Share, job: str) -> None:
    share()
    old = aided(database, "old")
    fall_silent(database, job)
    swept(database)
    new = aided(database, "new")
    assert (new.number, new.attempt) == (old.number, 2)
    writes: list[Callable[[Session], object]] = [
        lambda session: compared.finish(session, old, step=10, result=RESULT),
        lambda session: compared.give_back(session, old),
    ]
    for write in writes:
        with pytest.raises(NetworkLost), database.write() as session:
            write(session)
    assert not beats(database, old)
    assert beats(database, new)


def test_a_lost_lease_of_the_job_shares_nothing_out_and_notes_nothing(
    database: Database, share: Share, settings: Settings, job: str
) -> None:
    old = share()
    run_out(database, job)
    swept(database)
    taken(database, job, "new")
    late = stored(ArtifactStore(settings.artifacts), old, "late")
    writes: list[Callable[[Session], object]] = [
        lambda session: sharing.is_shared_out(session, old),
        lambda session: sharing.share_out(session, old, [], step=1, checkpoint=late),
        lambda session: sharing.note(session, old, number=1, step=1),
        lambda session: sharing.finish(session, old, number=1, result=RESULT),
    ]
    for write in writes:
        with pytest.raises(LeaseLost), database.write() as session:
            write(session)
    with pytest.raises(LeaseLost):
        take_own(database, old)


def test_others_go_on_while_the_job_waits_for_its_next_attempt_whose_network_waits_too(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    lease, other = share(), aided(database)
    assert take_own(database, lease).mine == 1
    run_out(database, job)
    swept(database)
    assert rows(client, job, "state") == ["queued", "running", "queued", "queued"]
    assert aid(database) is None  # the job comes first
    assert beats(database, other)
    with database.write() as session:
        compared.finish(session, other, step=10, result=RESULT)
    again = share(worker="again")
    assert take_own(database, again).results == {2: RESULT}


@pytest.mark.parametrize("wish", ["pause", "cancel"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_job_that_is_set_aside_or_ended_takes_its_networks_from_all(
    database: Database, share: Share, client: TestClient, job: str, wish: str, waits: bool
) -> None:
    lease, other = share(), aided(database)
    take_own(database, lease)
    if waits:
        run_out(database, job)
        swept(database)
    assert client.post(f"/v1/search-jobs/{job}/{wish}").status_code == 200
    if not waits:
        with database.write() as session:
            release(session, lease, state="queued", reason="stopping")
    assert job_row(database, job).state == {"pause": "paused", "cancel": "cancelled"}[wish]
    assert not beats(database, other)
    assert set(rows(client, job, "state", "worker", "step")) == {("queued", None, 0)}
    assert aid(database) is None
    assert swept(database, seconds=1e6) == []


def test_what_is_done_stays_done_for_a_job_that_is_set_aside(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    lease, other = share(), aided(database)
    with database.write() as session:
        compared.finish(session, other, step=10, result=RESULT)
    aided(database, "another")
    assert client.post(f"/v1/search-jobs/{job}/pause").status_code == 200
    with database.write() as session:
        release(session, lease, state="queued", reason="stopping")
    assert sorted(rows(client, job, "state")) == ["done", "queued", "queued", "queued"]
    assert client.post(f"/v1/search-jobs/{job}/resume").status_code == 200
    assert take_own(database, share(worker="again")).results == {other.number: RESULT}


def test_a_failed_job_takes_its_networks_from_others(database: Database, share: Share, job: str) -> None:
    lease, other = share(), aided(database)
    with database.write() as session:
        fail(session, lease, problem={"detail": "why"})
    assert not beats(database, other)
    assert aid(database) is None


def test_a_network_that_took_three_workers_is_left_to_the_jobs_own(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    lease = share(2)
    for worker in "abc":
        aided(database, worker)
        fall_silent(database, job)
        take_own(database, lease)  # looks as well as the sweep does
        with database.write() as session:
            session.execute(update(ComparedNetwork).where(ComparedNetwork.worker == "own").values(state="queued"))
    assert aid(database) is None
    (_, (lost, problem)) = rows(client, job, "lost", "problem")
    assert (lost, problem["type"]) == (3, "urn:lutnas:problem:workers-lost")
    assert "the last of them c" in problem["detail"]
    assert take_own(database, lease, first=2).mine == 2
    assert job_row(database, job).state == "running"


def test_what_another_worker_met_is_left_to_the_jobs_own(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    share(3)
    with database.write() as session:
        compared.give_back(session, aided(database), problem={"type": "t", "detail": "no room"})
    again = aided(database)
    assert again.number == 3
    with database.write() as session:
        compared.give_back(session, again)
    assert rows(client, job, "state", "problem")[1:] == [
        ("queued", {"type": "t", "detail": "no room"}), ("queued", None),
    ]  # fmt: skip
    assert aided(database).number == 3


def test_jobs_come_first_and_networks_by_priority(
    database: Database, share: Share, client: TestClient, job: str
) -> None:
    share()
    urgent = submit(client, priority=5)
    assert aid(database) is None
    with database.write() as session:
        lease = claim_next(session, job, worker="other", lease_seconds=60)
    assert lease is not None
    assert lease.job_id == urgent
    with database.write() as session:
        release(session, lease, state="queued", reason="again")
    share(job_id=urgent)
    assert [aided(database).job_id for _ in range(4)] == [urgent] * 3 + [job]


def test_a_worker_elsewhere_takes_no_network(database: Database, share: Share) -> None:
    lease = share()
    assert aid(database, here={**HERE, "processor": "b"}) is None
    with database.write() as session:
        describe(session, lease, environment={**HERE, "threads": 2})
    assert aid(database) is None  # where one attempt goes on elsewhere, nobody here may help it


def test_rings_call_one_worker_after_another_while_there_is_work(database: Database, share: Share, job: str) -> None:
    share()
    assert swept(database) == [job]
    assert swept(database) == []
    assert swept(database, seconds=31) == [job]  # those were lost
    for _ in range(2):
        aided(database)
        assert swept(database) == [job]
    aided(database)
    assert swept(database, seconds=50) == []
    fall_silent(database, job)
    assert swept(database) == [job]
    assert job_row(database, job).rings == 1


def test_a_network_done_is_as_good_as_a_checkpoint(database: Database, share: Share, job: str) -> None:
    for number in (1, 2, 3, 4):
        lease = share(5)
        if number > 1:
            take_own(database, lease)
            with database.write() as session:
                sharing.finish(session, lease, number=number - 1, result=RESULT)
        run_out(database, job)
    assert taken(database, job).attempt == 5


def test_networks_come_in_pages_to_their_owner(
    client: TestClient, share: Share, job: str, stranger: httpx.Headers
) -> None:
    path = f"/v1/search-jobs/{job}/comparison"
    assert client.get(path).json() == {"items": [], "next_cursor": None}
    share(5)
    first = client.get(path, params={"limit": 3}).json()
    second = client.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [one["number"] for one in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert client.get(path, headers=stranger).status_code == 404


def test_a_job_that_begins_anew_forgets_its_checkpoint_and_its_networks(database: Database, share: Share) -> None:
    lease = share()
    theirs = aid(database)
    assert theirs is not None
    with database.write() as session:
        assert len(begin_anew(session, lease)) == 1
    with database.write() as session:
        assert not sharing.is_shared_out(session, lease)
        assert latest_checkpoint(session, lease.job_id) is None
        assert not compared.heartbeat(session, theirs, step=1, lease_seconds=60)
