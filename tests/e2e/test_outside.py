"""A job whose files lie in a bucket, seen by the worker's metrics and log alone."""

import hashlib
import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.artifacts.store import ArtifactStore
from tests.e2e.conftest import LONG_SECONDS, Site, finished, spec, until
from tests.servers.server import free_port

pytestmark = pytest.mark.timeout(LONG_SECONDS)


def _checkpoints(store: ArtifactStore) -> list[str]:
    return [file.path for file in store.found() if "checkpoint" in file.path]


def _second_of(seen: set[str], store: ArtifactStore) -> bool:
    seen.update(_checkpoints(store))
    return len(seen) > 1


def _samples_of_the_end(url: str) -> dict[tuple[str, ...], float] | None:
    """By name and labels, once the attempt is counted: the job's row says so a moment before."""
    families = text_string_to_metric_families(httpx.get(url).text)
    found = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    return found if found.get(("lutnas_attempts_total", "succeeded")) else None


def test_a_killed_search_goes_on_from_a_bucket_and_is_told_by_metrics_and_log(
    sqlite_site: Site, bucket_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = free_port()
    for name, value in {"ARTIFACTS": bucket_url, "LOG_FORMAT": "json", "WORKER_METRICS_PORT": str(port)}.items():
        monkeypatch.setenv(f"LUTNAS_{name}", value)
    store = ArtifactStore(bucket_url)
    with sqlite_site.serve() as client:
        with sqlite_site.worker("first") as first:
            job = client.submit(spec())["id"]
            seen = set[str]()  # a second checkpoint is written once the first one's row is there
            until(partial(_second_of, seen, store))
            sqlite_site.kill(first, job)
        with sqlite_site.worker("second"):
            sha256 = finished(client, job)
            samples = until(partial(_samples_of_the_end, f"http://127.0.0.1:{port}/metrics"))
    (weights,) = [file.path for file in store.found(f"jobs/{job}") if file.path.endswith("/weights.safetensors")]
    assert hashlib.sha256(store.read(weights)).hexdigest() == sha256
    left = _checkpoints(store)  # the one that the kill came between file and row of, for `lutnas collect`
    assert len(left) <= 1
    assert all(path.startswith(f"jobs/{job}/1/") for path in left)
    assert not (sqlite_site.folder / "home" / "artifacts").exists()

    assert samples["lutnas_attempts_total", "succeeded"] == 1
    assert samples["lutnas_attempts_total", "failed"] == 0
    assert samples["lutnas_step_duration_seconds_count", "search"] > 10
    assert samples["lutnas_artifact_bytes_total", "written"] > 0

    log = (tmp_path / "second.log").read_text().splitlines()
    lines = [json.loads(line) for line in log if line.startswith("{")]  # LiteRT prints a line of its own
    attempts = {(line["job_id"], line["attempt"]) for line in lines if "attempt" in line}
    assert attempts == {(job, 2)}
    assert any("goes on at step" in line["message"] for line in lines)
