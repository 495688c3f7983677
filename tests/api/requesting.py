"""Requests to devices as people make them, and as agents claim and answer them."""

from typing import Any

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.artifacts.store import ArtifactStore
from api.db.session import Database, db_now
from api.jobs import lease as jobs_lease
from api.requests.models import DeviceRequest
from api.settings import Settings
from tests.api.making import an_architecture, stored

Json = dict[str, Any]
PROFILE = {"kind": "profile", "space": "fbnet-mini"}


def derived(client: TestClient, database: Database, settings: Settings, job: str, file: str) -> str:
    """Id of an architecture that a job gave, with one file."""
    with database.write() as session:
        lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        files = [stored(ArtifactStore(settings.artifacts), lease, file)]
        jobs_lease.succeed(session, lease, architecture=an_architecture(), artifacts=files)
    return str(client.get(f"/v1/search-jobs/{job}").json()["architecture"])


def ask(client: httpx.Client, device: str, body: Json = PROFILE) -> Json:
    answer = client.post(f"/v1/devices/{device}/requests", json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    assert answer.headers["location"] == f"/v1/device-requests/{made['id']}"
    return made


def claim(client: httpx.Client, device: str, agent: str = "a") -> Json | None:
    answer = client.post(f"/v1/devices/{device}/requests/claim", json={"agent": agent})
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else None


def claimed(client: httpx.Client, device: str, agent: str = "a") -> tuple[str, Json]:
    """Id of the request, and what its agent has to show."""
    found = claim(client, device, agent)
    assert found is not None
    return found["request"]["id"], {"agent": agent, "attempt": found["lease"]["attempt"]}


def tell(client: httpx.Client, request: str, what: str, body: Json) -> httpx.Response:
    return client.post(f"/v1/device-requests/{request}/{what}", json=body)


def read(client: httpx.Client, request: str) -> Json:
    found: Json = client.get(f"/v1/device-requests/{request}").json()
    return found


def run_out(database: Database, request: str) -> None:
    """Moves the stored end of the lease into the past."""
    with database.write() as session:
        past = db_now(session) - 1
        session.execute(update(DeviceRequest).where(DeviceRequest.id == request).values(lease_expires_us=past))
