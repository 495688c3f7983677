"""Traces as a collector takes them: from the request that submits a job to the attempt of the worker."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.conftest import BRIEF, LONG_SECONDS, Site, finished, spec, until

pytestmark = pytest.mark.timeout(LONG_SECONDS)

UNTRACED = """
import sys, tempfile
from pathlib import Path
from fastapi.testclient import TestClient
from api.app import create_app
from api.settings import Settings
with TestClient(create_app(Settings(home=Path(tempfile.mkdtemp())))) as client:
    assert client.get("/healthz").is_success
assert "opentelemetry.sdk" not in sys.modules
"""


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An address that takes spans as OTLP sends them, and those that came."""
    spans = list[Span]()

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") is None:
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", spans
        server.shutdown()
        thread.join()


def test_an_attempt_stands_under_the_request_that_submitted_its_job(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with sqlite_site.serve() as client, sqlite_site.worker("worker"):
            job = client.submit(spec(**BRIEF))["id"]
            finished(client, job)
            until(lambda: any(span.name == "attempt" for span in spans))
    (attempt,) = [span for span in spans if span.name == "attempt"]
    (request,) = [span for span in spans if span.name == "POST /v1/search-jobs"]
    assert (attempt.trace_id, attempt.parent_span_id) == (request.trace_id, request.span_id)
    assert {fact.key: fact.value.string_value for fact in attempt.attributes} == {"lutnas.job_id": job}
    assert not any("/healthz" in span.name for span in spans)


def test_without_a_collector_nothing_of_it_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", UNTRACED], check=True, timeout=60)
