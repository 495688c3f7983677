"""What `POST /v1/search-jobs/{id}/derive` takes, of a service of its own and a job whose evidence is given."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from api.artifacts.store import ArtifactStore
from api.db.session import Database
from api.jobs.lease import NewArchitecture, claim, succeed
from api.settings import Settings
from benchmarks._site import Site
from latency.formats import write_csv
from latency.table import LatencyTable
from lutnas.client import Client
from search.evidence import Evidence
from search.files import EVIDENCE
from tests.api.making import stored

PICTURES_A_CLASS = 20
LEASE_SECONDS = 600.0


def posted_seconds(evidence: Evidence, table: LatencyTable, maxima_us: Sequence[float]) -> list[float]:
    """Seconds until a client has each answer: one architecture for the first, and for the last a front, too."""
    with tempfile.TemporaryDirectory() as home:
        site = Site(Path(home))
        api = site.start_api()
        try:
            with site.client() as client:
                job = _finished(site, client, evidence, table, maxima_us[-1])
                asked: list[dict[str, Any]] = [{"count": 1} for _ in maxima_us] + [{"front": True}]
                return [
                    _seconds(client, job, table.info.device, max_us, more)
                    for max_us, more in zip([*maxima_us, maxima_us[-1]], asked, strict=True)
                ]
        finally:
            api.terminate()
            api.wait()


def _seconds(client: Client, job: str, device: str, max_us: float, more: dict[str, Any]) -> float:
    begin = time.perf_counter()
    answer = client.derive(job, [{"device": device, "max_us": max_us}], **more)
    seconds = time.perf_counter() - begin
    assert answer["architectures"], f"nothing within {max_us} us"
    return seconds


def _finished(site: Site, client: Client, evidence: Evidence, table: LatencyTable, max_us: float) -> str:
    """A job that left `evidence`, on a device that has `table`."""
    device, space = table.info.device, evidence.space.model_copy(update={"name": "asked"})
    client.create_device(device)
    client.upload_table(device, "".join(write_csv(table.info, table.entries.items())).encode(), media_type="text/csv")
    client.create_space(space.model_dump(mode="json"))
    file = site.folder / "made-up.npz"
    np.savez(file, **_pictures(evidence))  # type: ignore[arg-type]
    client.upload_dataset("made-up", file)
    constraints = [{"device": device, "max_us": max_us}]
    job = client.submit({"space": space.name, "dataset": "made-up", "constraints": constraints})["id"]
    settings = Settings(home=site.folder)
    database = Database(settings.database_url)
    try:
        with database.write() as session:
            lease = claim(session, job, worker="benchmark", lease_seconds=LEASE_SECONDS)
            assert lease is not None
            kept = stored(ArtifactStore(settings.artifacts), lease, EVIDENCE, evidence.model_dump_json().encode())
            nothing = NewArchitecture(
                candidates=(), predicted_latency_us={}, predicted=[], test_accuracy=0.0, layers=[]
            )
            succeed(session, lease, architecture=nothing, artifacts=[kept])
    finally:
        database.close()
    return job


def _pictures(evidence: Evidence) -> dict[str, np.ndarray]:
    wanted, classes = evidence.space.input, evidence.space.classes
    count = PICTURES_A_CLASS * classes
    shape = (count, wanted.channels, wanted.height, wanted.width)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {"x": pixels, "y": np.arange(count) % classes}
