"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT names who takes them; else nothing of it is loaded.

FastAPI makes a span of each request. It travels in the headers of the message that rings for a job, so that the attempt
of a worker stands under the request that asked for it. One that the sweeper rings for begins a trace of its own.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_provider: "TracerProvider | None" = None
_CARRIED = ("traceparent", "tracestate")


def begin(service: str) -> None:
    """Sends this process's spans to where the environment says, if it says so. Call it after a fork, not before."""
    global _provider
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _provider is not None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        detail = "OTEL_EXPORTER_OTLP_ENDPOINT is set, and traces need more packages: pip install 'lutnas[tracing]'"
        raise RuntimeError(detail) from error
    _provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)}))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(_provider)


def flush() -> None:
    """Sends what was not sent yet."""
    if _provider is not None:
        _provider.force_flush()


def carried() -> dict[str, str]:
    """Headers by which a message tells of the span at hand; none where there is none."""
    if _provider is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers


@contextmanager
def span(name: str, headers: Mapping[str, Any], **facts: str | int) -> Iterator[None]:
    """A span under the one that `headers` tell of; an exception that passes through is told too."""
    if _provider is None:
        yield
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract({name: headers[name] for name in _CARRIED if headers.get(name)})
    tracer = _provider.get_tracer("lutnas")
    told: dict[str, str | int] = {f"lutnas.{fact}": value for fact, value in facts.items()}
    with tracer.start_as_current_span(name, above, SpanKind.CONSUMER, told):
        yield
