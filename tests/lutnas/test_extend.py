"""`lutnas jobs extend`, with the test in the part of a worker."""

from typing import Any

from api.db.session import Database
from tests.lutnas.conftest import Service
from tests.lutnas.part_of_a_worker import finish, submit, take


def test_a_job_is_extended_once_a_key_and_refused_before_its_end(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    job = submit(service, spec)["id"]
    early = service.lutnas("jobs", "extend", job, "--epochs", "3")
    assert (early.exit_code, "only a job that succeeded" in early.stderr) == (1, True)
    finish(service, database, take(database, job), files={"weights.safetensors": b"weights"})
    made = service.data("jobs", "extend", job, "--epochs", "3", "--lr", "0.25", "--key", "longer")
    assert (made["extends"], made["state"]) == (job, "queued")
    assert (made["spec"]["finish"]["epochs"], made["spec"]["finish"]["lr"]) == (3, 0.25)
    again = service.lutnas("jobs", "extend", job, "--epochs", "3", "--lr", "0.25", "--key", "longer")
    assert again.stdout.strip() == made["id"]
    assert f"lutnas jobs watch {made['id']}" in again.stderr
    with service.client() as client:
        client.cancel(made["id"])


def test_epochs_are_told(service: Service) -> None:
    assert service.lutnas("jobs", "extend", "job_x").exit_code == 2
    assert service.lutnas("jobs", "extend", "job_x", "--epochs", "0").exit_code == 2
