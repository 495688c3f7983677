"""A job's network is trained on by real workers, to the same bits when one is killed; and webhooks hear of it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lutnas.client import Client
from lutnas.webhooks import verify
from tests.e2e.conftest import BRIEF, LONG_SECONDS, Site, finished, spec, until

pytestmark = pytest.mark.timeout(LONG_SECONDS)


class Receiver(ThreadingHTTPServer):
    """Breaks the first connection off, then takes what comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.arrived: list[tuple[dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.append((dict(self.headers.items()), body))
        if len(self.server.arrived) == 1:
            self.close_connection = True
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's output."""


def files(client: Client, job_id: str) -> dict[str, str]:
    return {artifact["name"]: artifact["sha256"] for artifact in client.job_artifacts(job_id)}


def ended(client: Client, job_id: str) -> dict[str, str]:
    until(lambda: client.job(job_id)["state"] in ("succeeded", "failed"))
    job = client.job(job_id)
    assert job["state"] == "succeeded", job["error"]
    return files(client, job_id)


def test_an_extension_whose_worker_is_killed_ends_bit_identical_and_is_told(
    postgres_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTNAS_WEBHOOK_PRIVATE", "true")
    monkeypatch.setenv("LUTNAS_WEBHOOK_RETRY_SECONDS", "0.2")
    with Receiver() as receiver, postgres_site.serve() as client:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        with postgres_site.worker("first") as worker:
            first = client.submit(spec(**BRIEF))["id"]
            finished(client, first)
            left = files(client, first)
            hook = client.webhooks.create(f"http://127.0.0.1:{receiver.server_address[1]}/", events=["succeeded"])
            calm = ended(client, client.extend(first, finish_epochs=24)["id"])
            job = client.extend(first, finish_epochs=24)["id"]
            until(lambda: (client.job(job)["progress"].get("step") or 0) >= 40)
            postgres_site.kill(worker, job)
        with postgres_site.worker("second"):
            again = ended(client, job)
        told = until(lambda: _taken(client, hook["id"], 2))
        receiver.shutdown()
        assert files(client, first) == left
        assert client.job(job)["extends"] == first
        assert client.job(job)["attempt"] == 2
        notes = [event["data"] for event in client.events(job) if event["kind"] == "note"]
    same = {"architecture.json", "weights.safetensors", "model.onnx", "model.tflite"}
    assert {name: again[name] for name in same} == {name: calm[name] for name in same}
    assert set(calm) == {*same, "report.json", "report.html"}
    assert calm["weights.safetensors"] != left["weights.safetensors"]
    assert calm["architecture.json"] == left["architecture.json"]
    assert left["weights.safetensors"] in notes[0]["detail"]
    assert told[0]["job"] == job
    messages = [verify(body, headers, hook["secret"]) for headers, body in receiver.arrived]
    assert [message["data"]["job"] for message in messages].count(job) == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.arrived}) == 2
    assert len(receiver.arrived) == 3  # the first one came again


def _taken(client: Client, webhook: str, count: int) -> list[Any] | None:
    found = list(client.webhooks.deliveries(webhook))
    return found if len(found) == count and all(one["state"] == "delivered" for one in found) else None
