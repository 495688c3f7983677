"""GET /metrics of a real server, and what its figures follow."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from api.app import create_app
from api.db.session import Database
from api.jobs.lease import claim
from api.jobs.models import JobEvent, SearchJob
from api.jobs.sweep import sweep
from api.settings import Settings
from tests.api.making import CSV, a_table_csv

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def figures(answer: httpx.Response) -> Figures:
    """Each sample by name and labels; the parser refuses what is not in Prometheus' form."""
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def test_a_real_server_counts_its_requests_by_route_and_never_by_path(
    serve: Callable[[], AbstractContextManager[tuple[httpx.Client, int]]],
) -> None:
    with serve() as (client, _):
        for name in ("board-1", "board-2"):
            assert client.get(f"/v1/devices/{name}").status_code == 404
        client.get("/nowhere/at/all")
        found = figures(client.get("/metrics"))
    route = "/v1/devices/{device}"
    assert value(found, "lutnas_http_requests_total", method="GET", route=route, status="404") == 2
    assert value(found, "lutnas_http_requests_total", method="GET", route="(none)", status="404") == 1
    assert value(found, "lutnas_http_request_duration_seconds_count", method="GET", route=route) == 2
    assert value(found, "lutnas_database_up") == 1
    assert not any("board" in text for _, labels in found for _, text in labels)


def test_names_say_their_unit_and_counters_their_total(client: TestClient) -> None:
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    ours = [family for family in families if family.name.startswith("lutnas_")]
    assert len(ours) > 10
    for family in ours:
        assert family.documentation.endswith("."), family.name
        assert not family.name.endswith(("_ms", "_us", "_milliseconds", "_count")), family.name
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)


def test_jobs_are_told_by_state_and_the_queue_by_its_age(client: TestClient, database: Database, job: str) -> None:
    with database.write() as session:
        hour_ago = session.get_one(SearchJob, job).created_at.replace(year=2026, month=1, day=1)
        session.execute(update(JobEvent).where(JobEvent.job_id == job).values(at=hour_ago))
    found = figures(client.get("/metrics"))
    assert value(found, "lutnas_jobs", state="queued") == 1
    assert value(found, "lutnas_jobs", state="running") == 0
    assert value(found, "lutnas_queue_age_seconds") > 3600
    with database.write() as session:
        claim(session, job, worker="w", lease_seconds=60)
    found = figures(client.get("/metrics"))
    assert value(found, "lutnas_jobs", state="running") == 1
    assert value(found, "lutnas_queue_age_seconds") == 0


def test_a_job_that_is_queued_again_has_waited_since_then(client: TestClient, database: Database, job: str) -> None:
    with database.write() as session:
        long_ago = session.get_one(SearchJob, job).created_at.replace(year=2025)
        session.execute(update(JobEvent).where(JobEvent.job_id == job).values(at=long_ago))
        claim(session, job, worker="w", lease_seconds=0.000001)
    before = figures(client.get("/metrics"))
    with database.write() as session:
        sweep(session)
    after = figures(client.get("/metrics"))
    assert value(after, "lutnas_queue_age_seconds") < 3600
    expiries = [value(found, "lutnas_lease_expiries_total", kind="search-job") for found in (before, after)]
    assert expiries[1] - expiries[0] == 1


def test_an_undone_sweep_counts_no_expiry(client: TestClient, database: Database, job: str) -> None:
    with database.write() as session:
        claim(session, job, worker="w", lease_seconds=0.000001)
    before = figures(client.get("/metrics"))

    def fail_halfway() -> None:
        with database.write() as session:
            sweep(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    after = figures(client.get("/metrics"))
    name = "lutnas_lease_expiries_total"
    assert value(before, name, kind="search-job") == value(after, name, kind="search-job")


def test_a_table_is_counted_when_it_is_taken_and_not_when_it_stood_already(client: TestClient, device: str) -> None:
    before = figures(client.get("/metrics"))
    again = client.post(f"/v1/devices/{device}/tables", content=a_table_csv(), headers=CSV)
    assert again.status_code == 200
    unchanged = figures(client.get("/metrics"))
    client.post("/v1/devices", json={"name": "second"})
    content = a_table_csv(device="second")
    taken = client.post("/v1/devices/second/tables", content=content, headers=CSV).json()
    after = figures(client.get("/metrics"))
    uploads = [value(found, "lutnas_table_uploads_total") for found in (before, unchanged, after)]
    assert [uploads[1] - uploads[0], uploads[2] - uploads[1]] == [0, 1]
    rows = [value(found, "lutnas_table_uploaded_rows_total") for found in (unchanged, after)]
    assert rows[1] - rows[0] == taken["rows"]


def test_it_wants_an_admin_and_is_for_anybody_where_the_operator_says_so(
    client: TestClient, settings: Settings, database: Database
) -> None:
    assert client.get("/metrics", headers={"Authorization": ""}).status_code == 401
    with TestClient(create_app(settings.model_copy(update={"metrics_open": True}))) as opened:
        assert value(figures(opened.get("/metrics")), "lutnas_database_up") == 1


@pytest.fixture
def unmigrated(tmp_path: object) -> Iterator[TestClient]:
    """A service whose database has no tables."""
    settings = Settings(home=f"{tmp_path}/home", sweep_seconds=3600, metrics_open=True)
    with TestClient(create_app(settings)) as client:
        yield client


def test_without_its_database_a_process_still_tells_what_it_counts(unmigrated: TestClient) -> None:
    unmigrated.get("/healthz")
    found = figures(unmigrated.get("/metrics"))
    assert value(found, "lutnas_database_up") == 0
    assert value(found, "lutnas_http_requests_total", method="GET", route="/healthz", status="200") >= 1
    assert not any(name == "lutnas_jobs" for name, _ in found)
