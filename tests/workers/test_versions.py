"""A worker that an upgrade of the service left behind."""

import logging

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.db.session import Database
from api.settings import Settings
from tests.workers.asking import submitted
from workers.runner import run_job


def test_a_worker_takes_no_job_of_a_database_of_another_version(
    client: TestClient, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    job, looks = submitted(client), iter([False, True])
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with caplog.at_level(logging.WARNING, "workers.runner"):
        run_job(job, settings, drain=lambda: next(looks))
    assert "the database is of another version of lutnas than this worker" in caplog.text
    assert client.get(f"/v1/search-jobs/{job}").json()["state"] == "queued"
    assert client.get(f"/v1/search-jobs/{job}/attempts").json()["items"] == []
