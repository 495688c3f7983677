"""Watches each request from its first to its last byte: its line in the log, its place in the metrics."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.telemetry.context import work
from api.telemetry.metrics import REQUEST_SECONDS, REQUESTS

UNMATCHED = "(none)"  # paths that lead nowhere are endless in number
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds: told at level debug
_logger = logging.getLogger("api.access")


class Watch:
    """Stands inside the envelope, which makes the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, answered, status = time.perf_counter(), None, 500  # an error that nobody took ends in a 500

        async def watched(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
            await send(message)

        with work(request_id=scope["request_id"]):
            try:
                await self.app(scope, receive, watched)
            finally:
                ended = time.perf_counter()
                _tell(scope, status, until_answer=(answered or ended) - begun, until_end=ended - begun)


def route_of(scope: Scope) -> str:
    """The path with names for its ids."""
    route = scope.get("route")
    return UNMATCHED if route is None else str(route.path)


def _tell(scope: Scope, status: int, *, until_answer: float, until_end: float) -> None:
    """Times are in seconds."""
    method, route = scope["method"] if scope["method"] in _METHODS else "OTHER", route_of(scope)
    REQUESTS.labels(method=method, route=route, status=status).inc()
    REQUEST_SECONDS.labels(method=method, route=route).observe(until_answer)
    milliseconds = round(1000 * until_end, 1)
    _logger.log(
        logging.DEBUG if route in PROBES and status < 400 else logging.INFO,
        "%s %s %d in %.1f ms", method, route, status, milliseconds,
        extra={"method": method, "route": route, "status": status, "milliseconds": milliseconds},
    )  # fmt: skip
