"""A service that has run one job, and one of everything else that there was."""

import hashlib
from typing import Any

from tests.migrations.plain import Rows

SECRET = "lutnas_of-the-first-days"
AT = "2026-03-01 10:00:00.000000"
SPACE = {
    "name": "small", "note": "", "input": {"channels": 1, "height": 8, "width": 8}, "classes": 10,
    "stem": {"channels": 8, "kernel": 3, "stride": 2}, "stages": [{"channels": 8, "layers": 1, "stride": 1}],
    "head": {"channels": 16}, "candidates": ["k3_e1", "k3_e3", "skip"],
}  # fmt: skip
SPEC = {
    "name": "first", "space": "small", "dataset": "mine", "seed": 3, "labels": {"team": "cam"},
    "constraints": [{"metric": "latency", "device": "board", "max_us": 90.0}],
}  # fmt: skip
MADE = {"owner": "main", "created_at": AT}
PIN = {"device": "board", "table": "tbl_1", "content_hash": "c" * 64}


def a_job(job_id: str, state: str, **changes: Any) -> dict[str, Any]:
    """A row of search_jobs."""
    return {
        "id": job_id, **MADE, "name": "first", "state": state, "spec": SPEC, "space": SPACE,
        "pins": {"tables": [PIN], "dataset_hash": "d" * 64, "threads": 2}, "progress": {}, "error": None, "wish": "",
        "attempt": 0, "barren_attempts": 0, "lease_worker": None, "lease_expires_us": None, "rings": 1,
        "next_ring_us": 0, "last_event_id": 1, "idempotency_key": None, "idempotency_hash": None, "started_at": None,
        "finished_at": None, **changes,
    }  # fmt: skip


def an_event(job_id: str, number: int, kind: str, **data: Any) -> dict[str, Any]:
    """A row of job_events."""
    return {"job_id": job_id, "id": number, "attempt": 1, "step": number, "kind": kind, "data": data, "at": AT}


def an_artifact(artifact_id: str, job_id: str | None, name: str) -> dict[str, Any]:
    """A row of artifacts."""
    return {
        "id": artifact_id, **MADE, "job_id": job_id, "name": name, "path": f"{artifact_id}/{name}", "bytes": 7,
        "sha256": "a" * 64, "media_type": "application/octet-stream",
    }  # fmt: skip


def a_row(position: int, kernel: int) -> dict[str, Any]:
    """A row of table_rows."""
    return {
        "table_id": "tbl_1", "position": position, "operator_hash": f"{position:032x}", "kind": "mbconv", "h": 4,
        "w": 4, "c_in": 8, "c_mid": 8, "c_out": 8, "stride": 1, "kernel": kernel, "groups": 1, "weight_bits": 32,
        "activation_bits": 32, "sparsity": 0.0, "pattern": "", "latency_us": 12.5 + position, "p10_us": 12.0,
        "p90_us": None, "samples": 30, "provenance": "measured", "energy_uj": None,
    }  # fmt: skip


ROWS: Rows = {
    "tokens": [
        {"sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "owner": "main", "name": "home", "created_at": AT}
    ],
    "devices": [
        {"id": "dev_1", **MADE, "name": "board", "description": "it's", "labels": {"a": "ü"}, "last_version": 1}
    ],
    "spaces": [{"id": "spc_1", **MADE, "name": "small", "document": SPACE}],
    "service_leases": [{"name": "sweeper", "holder": "x", "expires_us": 1}],
    "search_jobs": [
        a_job("job_1", "succeeded", attempt=1, last_event_id=2, started_at=AT, finished_at=AT),
        a_job("job_2", "paused", attempt=1, idempotency_key="k", idempotency_hash="h"),
        a_job("job_3", "failed", attempt=1, error={"type": "urn:lutnas:problem:x", "title": "X", "detail": "why"}),
    ],
    "job_labels": [{"job_id": "job_1", "name": "team", "value": "cam"}],
    "job_events": [
        an_event("job_1", 1, "progress", phase="search", step=1, steps=2),
        an_event("job_1", 2, "state", state="succeeded", reason=""),
        an_event("job_2", 1, "state", state="paused", reason=""),
        an_event("job_3", 1, "state", state="failed", reason="why"),
    ],
    "checkpoints": [
        {"job_id": "job_2", "attempt": 1, "step": 5, "path": "p", "bytes": 9, "sha256": "e" * 64, "created_at": AT}
    ],
    "artifacts": [an_artifact("art_1", "job_1", "model.onnx"), an_artifact("art_2", None, "mine.npz")],
    "architectures": [
        {
            "id": "arc_1", **MADE, "job_id": "job_1", "space": "small", "candidates": ["k3_e1"],
            "predicted_latency_us": {"board": 80.5}, "test_accuracy": 0.75,
            "layers": [{"layer": 0, "candidate": "k3_e1", "operator": "mbconv", "latency_us": 12.5}],
        }
    ],
    "tables": [
        {
            "id": "tbl_1", **MADE, "device_id": "dev_1", "version": 1, "content_hash": "c" * 64, "rows": 2,
            "device_name": "board", "runtime": "onnxruntime", "runtime_version": "1.20", "threads": 1, "batch": 1,
            "measured_at": None, "note": "",
        }
    ],
    "table_rows": [a_row(0, 3), a_row(1, 5)],
    "datasets": [
        {
            "id": "dst_1", **MADE, "name": "mine", "channels": 1, "height": 8, "width": 8, "classes": 10,
            "class_names": ["a"], "train_examples": 100, "test_examples": 20, "content_hash": "d" * 64,
            "artifact_id": "art_2",
        }
    ],
}  # fmt: skip
