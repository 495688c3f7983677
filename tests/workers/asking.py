"""Jobs whose finalists are timed on a device, as tests make them, look at them and answer for the agent."""

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from api.db.session import Database
from api.jobs.models import SearchJob
from tests.api.requesting import claimed, tell
from tests.e2e.conftest import spec

SMALL: dict[str, Any] = {
    "search": {"epochs": 1, "warmup_epochs": 0, "batch_size": 256, "evidence_samples": 8}, "finalists": 4,
    "finish": {"epochs": 1, "batch_size": 256}, "on_device": {"wait_seconds": 60},
}  # fmt: skip


def submitted(client: TestClient, **changes: Any) -> str:
    answer = client.post("/v1/search-jobs", json=spec(**{**SMALL, **changes}))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(client: TestClient, job: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/search-jobs/{job}").json()
    return found


def events(client: TestClient, job: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(f"/v1/search-jobs/{job}/events", params={"limit": 1000}).json()["items"]
    return listed


def requests(client: TestClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get("/v1/devices/board/requests").json()["items"]
    return listed[::-1]


def budget_us(client: TestClient, job: str) -> float:
    return float(shown(client, job)["spec"]["constraints"][0]["max_us"])


def agent(client: TestClient, latencies_us: list[float]) -> Callable[[], None]:
    """Answers one request after the other with these."""

    def answer() -> None:
        request, held = claimed(client, "board")
        table = client.get(f"/v1/device-requests/{request}").json()["spec"]["table"]
        result = {"table": table, "latency_us": latencies_us.pop(0)}
        told = tell(client, request, "finish", {**held, "result": result})
        assert told.status_code == 200, told.text

    return answer


def measured(client: TestClient, job: str) -> list[dict[str, Any]]:
    """What its events tell of what devices measured."""
    return [event["data"] for event in events(client, job) if event["data"].get("phase") == "measure"]


def silent(database: Database, job: str) -> None:
    """The worker of the job is gone, and its lease over."""
    with database.write() as session:
        session.get_one(SearchJob, job).lease_expires_us = 0


def reported(client: TestClient, job: str) -> list[dict[str, Any]]:
    """What the report has as measured on devices."""
    derived = shown(client, job)["architecture"]
    report = client.get(f"/v1/architectures/{derived}/artifacts/report.json").json()
    return [row for row in report["measured"] if not row["where"].startswith("on the worker")]


def cancelled(client: TestClient, job: str) -> None:
    assert client.post(f"/v1/search-jobs/{job}/cancel").status_code == 200


class Killed(BaseException):
    """As nothing in a worker catches it."""

    @classmethod
    def now(cls) -> None:
        raise cls
