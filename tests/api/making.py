"""What tests of the API send."""

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, select

from api.artifacts.store import ArtifactStore, StoredFile, attempt_path
from api.db.base import Base
from api.db.session import Database
from api.jobs import lease as jobs_lease
from api.jobs.lease import Lease, NewArchitecture
from latency.formats import write_csv
from latency.table import Entry, TableInfo
from search.space import preset

Json = dict[str, Any]

CSV = {"Content-Type": "text/csv"}
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 6, 5), np.uint8)
Y = np.arange(20) % 4
TOO_MANY: dict[str, Any] = {  # choices: each axis as long as it may be, together more than can be laid out
    "precision": [f"w{weights}a{acts}" for weights in range(2, 9) for acts in (4, 8)],
    "width": [n / 16 for n in range(1, 17)],
    "sparsity": {"levels": [n / 16 for n in range(16)]},
}


def a_table_csv(
    *, device: str = "cpu", space: str = "fbnet-mini", without: int = 0, scale: float = 1.0, lines: Iterable[str] = ()
) -> str:
    """A table that covers `space` but for its last `without` operators; then `lines`."""
    info = TableInfo(device=device, runtime="onnxruntime", runtime_version="1.32", threads=1, batch=1)
    operators = list(preset(space).operators())
    kept = operators[: len(operators) - without]
    rows = [(operator, Entry(scale * (10.0 + number), samples=20)) for number, operator in enumerate(kept)]
    return "".join([*write_csv(info, rows), *lines])


def a_long_csv(rows: int) -> Iterable[bytes]:
    """A table of `rows` distinct operators, in pieces."""
    head = "# device: cpu\n# runtime: test\n# threads: 1\n# batch: 1\n"
    yield (head + "kind,h,w,c_in,c_mid,c_out,stride,kernel,groups,latency_us,p10,p90,samples\n").encode()
    for start in range(0, rows, 1000):
        lines = (
            f"mbconv,{1 + n % 512},{1 + n // 512},16,48,24,1,3,1,{10 + n / 7!r},{9 + n / 7!r},{11 + n / 7!r},30\n"
            for n in range(start, min(rows, start + 1000))
        )
        yield "".join(lines).encode()


def a_job(**changes: Any) -> dict[str, Any]:
    """A job document on the device `cpu`."""
    return {
        "name": "test", "space": "fbnet-mini", "dataset": "fashion-mnist",
        "constraints": [{"device": "cpu", "max_us": 250.0}], **changes,
    }  # fmt: skip


def submit(client: httpx.Client, **changes: Any) -> str:
    """Submits a job and gives its id."""
    answer = client.post("/v1/search-jobs", json=a_job(**changes))
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def an_npz(**arrays: Any) -> bytes:
    """An .npz of `arrays`."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def a_zip(files: dict[str, bytes]) -> bytes:
    """A zip of `files`."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return body.getvalue()


def stored(store: ArtifactStore, lease: Lease, name: str, content: bytes = b"content") -> StoredFile:
    """A file of an attempt."""
    path = attempt_path(lease.job_id, lease.attempt, name)
    return store.put(path, content, media_type="application/octet-stream")


def an_architecture() -> NewArchitecture:
    """What a search of fbnet-mini may give."""
    layers = preset("fbnet-mini").layers
    rows = [
        {
            "layer": number, "candidate": "k3_e1", "latency_us": 10.0,
            "operator": layer.operator(layer.choices[0]).key,
        }
        for number, layer in enumerate(layers)
    ]  # fmt: skip
    predicted = [{"name": "cpu", "metric": "latency", "device": "cpu", "predicted_us": 200.0, "max_us": 250.0}]
    return NewArchitecture(
        candidates=("k3_e1",) * len(layers), predicted_latency_us={"cpu": 200.0}, predicted=predicted,
        test_accuracy=0.9, layers=rows,
    )  # fmt: skip


def one_of_each(client: httpx.Client, database: Database, artifacts: Path | str, job: str) -> dict[str, str]:
    """Ends `job`, which is on the device `cpu`, and makes one of all other things: ids by the names that paths use."""
    with database.write() as session:
        lease = jobs_lease.claim(session, job, worker="w", lease_seconds=60)
        assert lease is not None
        files = [stored(ArtifactStore(artifacts), lease, "model.onnx")]
        jobs_lease.succeed(session, lease, architecture=an_architecture(), artifacts=files)
    space = {**json.loads(preset("fbnet-mini").model_dump_json()), "name": "mine"}
    client.post("/v1/spaces", json=space).raise_for_status()
    file = {"file": io.BytesIO(an_npz(x=X, y=Y))}
    client.post("/v1/datasets", data={"name": "mine"}, files=file).raise_for_status()
    asked = {"kind": "profile", "space": "fbnet-mini"}
    request = client.post("/v1/devices/cpu/requests", json=asked).json()["id"]
    client.post("/v1/devices/cpu/requests/claim", json={"agent": "a"}).raise_for_status()
    made = client.post("/v1/tokens", json={"name": "made", "scopes": ["read"]}).json()["id"]
    webhook = client.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json()["id"]
    delivery = client.post(f"/v1/webhooks/{webhook}/ping").json()["id"]
    (artifact,) = client.get(f"/v1/search-jobs/{job}/artifacts").json()["items"]
    return {
        "device": "cpu", "table_id": client.get("/v1/devices/cpu/tables").json()["items"][0]["id"],
        "request_id": request, "job_id": job, "number": "1", "artifact_id": artifact["id"], "token_id": made,
        "webhook_id": webhook, "delivery_id": delivery,
        "architecture_id": client.get(f"/v1/search-jobs/{job}/architecture").json()["id"],
    }  # fmt: skip


def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table of the database has."""
    with database.read() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def a_token(
    client: httpx.Client, *scopes: str, by: httpx.Headers | None = None, **more: Any
) -> tuple[Json, httpx.Headers]:
    """A token as the API shows it, and the headers that show it to the API."""
    body = {"name": "test", "scopes": list(scopes), **more}
    answer = client.post("/v1/tokens", json=body, headers=by)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json()
    return document, httpx.Headers({"Authorization": f"Bearer {document['secret']}"})
