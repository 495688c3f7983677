"""What a worker does to a job, by its own door: taken, reported on, finished, without a search."""

import json
from typing import Any

from api.artifacts.store import ArtifactStore, attempt_path
from api.db.session import Database
from api.jobs.lease import Lease, NewArchitecture, claim, report, succeed
from tests.lutnas.conftest import Service

FILES = {"architecture.json": b"{}", "weights.safetensors": b"weights", "model.onnx": b"model", "report.json": b"{}"}


def submit(service: Service, spec: dict[str, Any], *options: str) -> Any:
    return service.data("jobs", "submit", "-", *options, input=json.dumps(spec))


def take(database: Database, job: str) -> Lease:
    with database.write() as session:
        lease = claim(session, job, worker="test", lease_seconds=600)
    assert lease is not None
    return lease


def step(database: Database, lease: Lease, number: int) -> None:
    data = {
        "phase": "search",
        "steps": 10,
        "seconds_left": 65.0,
        "epoch": number,
        "expected_latency_us": {"board": 5e5},
    }
    with database.write() as session:
        report(session, lease, kind="progress", step=number, data=data)


def finish(
    service: Service, database: Database, lease: Lease, *, files: dict[str, bytes] | None = None, device: str = "board"
) -> None:
    store = ArtifactStore(service.home / "artifacts")
    with database.write() as session:
        candidates = ("k3_e1",) * 7
        layers = [{"layer": i, "candidate": c, "operator": None, "latency_us": 10.0} for i, c in enumerate(candidates)]
        derived = NewArchitecture(
            candidates=candidates, predicted_latency_us={device: 70.0}, test_accuracy=0.9, layers=layers,
            predicted=[
                {"name": device, "metric": "latency", "device": device, "predicted_us": 70.0, "max_us": 1e6},
                {"name": "size", "metric": "size", "predicted_bytes": 2e5, "max_bytes": 3e5},
            ],
        )  # fmt: skip
        left = [
            store.put(attempt_path(lease.job_id, lease.attempt, name), content, media_type="application/octet-stream")
            for name, content in {**FILES, **(files or {})}.items()
        ]
        succeed(session, lease, architecture=derived, artifacts=left)
