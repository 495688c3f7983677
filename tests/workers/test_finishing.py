"""What an attempt hears once all is trained, while it exports, times and keeps files."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from api.artifacts.models import Artifact
from api.db.session import Database
from api.jobs.lease import Order
from api.jobs.models import JobEvent
from api.settings import Settings
from tests.e2e.conftest import spec
from tests.workers.attempting import SMALL, Clock, attempt_of, attempted


def is_exporting(database: Database, job: str) -> bool:
    with database.read() as session:
        told = session.scalars(select(JobEvent.data).where(JobEvent.job_id == job, JobEvent.kind == "progress")).all()
    return any(data["phase"] == "export" for data in told)


def files_of(database: Database, job: str) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).where(Artifact.job_id == job)) or 0


def test_a_worker_that_is_told_to_stop_while_it_exports_leaves_the_job_to_another(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"]
    attempted(database, settings, job, Clock(), lambda: is_exporting(database, job))
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "queued"
    assert files_of(database, job) == 0
    attempted(database, settings, job, Clock())
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "succeeded"


@pytest.mark.parametrize(("order", "state"), [(Order.CANCEL, "cancelled"), (Order.PAUSE, "paused")])
def test_a_job_is_cancelled_or_paused_while_it_exports(
    client: TestClient, database: Database, settings: Settings, order: Order, state: str
) -> None:
    job = client.post("/v1/search-jobs", json=spec(**SMALL)).json()["id"]
    with attempt_of(database, settings, job, Clock()) as attempt:

        def hears() -> bool:
            if attempt.heart.order is Order.CONTINUE and is_exporting(database, job):
                client.post(f"/v1/search-jobs/{job}/{order.value}").raise_for_status()
                attempt.heart.order = order  # as its next beat would tell
            return False

        attempt.drain = hears
        attempt.run()
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == state
    assert files_of(database, job) == 0
