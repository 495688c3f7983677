"""Jobs and events go out as their columns hold them: they look as the models of the API say."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError

from api.architectures import service as architectures
from api.auth.callers import Owner
from api.db.session import Database
from api.jobs import reading
from api.jobs.lease import claim, fail, report, succeed
from api.jobs.models import JobEvent, SearchJob
from api.jobs.schemas import EventView, JobView
from tests.api.making import an_architecture, submit

ODD = 'Ä "quoted" \\ \u2028 name'


def shown(document: Any) -> Any:
    """A model as JSON, read again."""
    return json.loads(document.model_dump_json())


def jobs_in_every_state(client: TestClient, database: Database) -> list[str]:
    """One that waits, one that runs, one that failed, one that succeeded, one that was cancelled."""
    ids = [submit(client, name=ODD, labels={"team": 'cäm"', "n": str(number)}) for number in range(5)]
    for number, job_id in enumerate(ids[1:4]):
        with database.write() as session:
            lease = claim(session, job_id, worker="w", lease_seconds=60)
            assert lease is not None
            report(session, lease, kind="progress", step=3, data={"phase": "search", "steps": 9, "loss": 1e-7})
            if number == 1:
                fail(session, lease, problem={"detail": ODD, "type": "urn:lutnas:problem:x"})
            if number == 2:
                succeed(session, lease, architecture=an_architecture(), artifacts=[])
    assert client.post(f"/v1/search-jobs/{ids[4]}/cancel").is_success
    return ids


def test_jobs_alone_and_in_pages_look_as_their_model_says(client: TestClient, database: Database, device: str) -> None:
    ids = jobs_in_every_state(client, database)
    with database.read() as session:
        jobs = {job.id: job for job in session.scalars(select(SearchJob))}
        expected = {name: shown(JobView.of(job, architectures.id_of_job(session, name))) for name, job in jobs.items()}
    assert {row["state"] for row in expected.values()} == {"queued", "running", "failed", "succeeded", "cancelled"}
    assert {name: client.get(f"/v1/search-jobs/{name}").json() for name in ids} == expected
    assert client.get("/v1/search-jobs").json() == {
        "items": [expected[name] for name in sorted(ids, reverse=True)], "next_cursor": None,
    }  # fmt: skip
    answer = client.get(f"/v1/search-jobs/{ids[0]}")
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == list(JobView.model_fields)


def test_pages_of_one_state_or_label_follow_one_another(client: TestClient, database: Database, device: str) -> None:
    ids = sorted((submit(client, labels={"kind": "odd" if n % 2 else "even"}) for n in range(5)), reverse=True)
    path, found = "/v1/search-jobs?limit=2&state=queued", list[str]()
    following: str | None = ""
    while following is not None:
        page = client.get(path + (f"&cursor={following}" if following else "")).json()
        found += [job["id"] for job in page["items"]]
        following = page["next_cursor"]
    assert found == ids
    assert len(client.get("/v1/search-jobs?label=kind:even&state=queued").json()["items"]) == 3
    assert client.get("/v1/search-jobs?state=running").json()["items"] == []


def test_events_look_as_their_model_says(client: TestClient, database: Database, device: str) -> None:
    (_, running, *_) = jobs_in_every_state(client, database)
    with database.read() as session:
        rows = session.scalars(select(JobEvent).where(JobEvent.job_id == running).order_by(JobEvent.id))
        expected = [shown(EventView.of(row)) for row in rows]
    assert len(expected) == 3
    assert client.get(f"/v1/search-jobs/{running}/events").json() == {"items": expected, "next_cursor": None}
    first = client.get(f"/v1/search-jobs/{running}/events?limit=1").json()
    assert first == {"items": expected[:1], "next_cursor": "1"}
    assert client.get(f"/v1/search-jobs/{running}/events?after=1").json()["items"] == expected[1:]


def plans(client: TestClient, ask: Callable[[], object], what: str) -> list[str]:
    """How SQLite carries out the statements of `ask` that hold `what`."""
    engine, sent = client.app.state.service.database.engine, list[tuple[str, Any]]()  # type: ignore[attr-defined]

    def note(connection: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if what in statement:
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", given).all()) for one, given in sent]


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)  # Postgres plans by the size that a table has
def test_a_page_is_found_by_an_index_however_many_jobs_there_are(client: TestClient, job: str) -> None:
    (page,) = plans(client, lambda: client.get("/v1/search-jobs"), "ORDER BY search_jobs.id DESC")
    assert "COVERING INDEX ix_search_jobs_owner_id " in page
    counts = plans(client, lambda: submit(client), "count(*)")
    assert counts
    assert all("COVERING INDEX ix_search_jobs_owner_state " in count for count in counts)


def test_reading_rows_cannot_write_and_leaves_the_connection_to_writers(database: Database, job: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE search_jobs SET name = 'one'"))
    with database.read_rows() as connection:
        assert '"name":"one"' in reading.job(connection, Owner("main"), job)
        with pytest.raises(DBAPIError, match=r"read-?only"):
            connection.execute(text("UPDATE search_jobs SET name = 'two'"))
    with database.write() as session:
        session.execute(text("UPDATE search_jobs SET name = 'three'"))
    with database.read_rows() as connection:
        assert '"name":"three"' in reading.job(connection, Owner("main"), job)
