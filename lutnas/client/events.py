"""The events of a job as they happen: server-sent events that go on after a broken connection."""

import logging
import time
from collections.abc import Callable, Iterator

import httpx
from httpx_sse import EventSource, SSEError

from lutnas.client.documents import FINAL_STATES, Event
from lutnas.client.errors import ProblemError, UnreachableError
from lutnas.client.paths import path_of
from lutnas.client.transport import UNAVAILABLE, Transport

QUIET_SECONDS = 60.0  # the service sends a comment now and then; a connection silent for longer is dead
LONGEST_WAIT = 5.0
BROKEN_IN_A_ROW = 5  # streams that broke off without an event, before it is told
_logger = logging.getLogger(__name__)


def follow(
    transport: Transport,
    job: str,
    *,
    after: int = 0,
    patience_seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Event]:
    """Yields the events of `job` after number `after`, each once and in order, and ends after the final one.

    A broken connection is made again and goes on after the last event seen (`Last-Event-ID`). Raises UnreachableError
    when the service stays away for `patience_seconds` after it was last there, ProblemError when it refuses.
    """
    seen, heard, wait, ended, broken = after, clock(), 0.2, False, 0
    while True:
        connected, silent = False, True
        try:
            for event in _connection(transport, job, after=seen):
                connected = True
                if event is None:
                    continue
                wait, silent = 0.2, False
                if event["id"] <= seen:
                    continue
                seen = event["id"]
                yield event
                if is_final(event):
                    return
            heard, connected, broken = clock(), False, 0
            # The service ended the stream without a final event: it is shutting down, or a proxy cut it, or `after`
            # was after the final event. In the last case the job had ended before a connection that gave nothing.
            if silent and ended:
                return
            ended = transport.json("GET", path_of("search-jobs", job))["state"] in FINAL_STATES
        except (UnreachableError, ProblemError) as error:
            if connected:  # it was there until now, however long the job had nothing to tell
                heard, broken = clock(), broken + 1 if silent else 0
                if broken == BROKEN_IN_A_ROW:
                    told = "the stream of events of %s broke off %d times without one: does a proxy cut streams? (%s)"
                    _logger.warning(told, job, broken, error)
            # such as a database that restarts
            away = not isinstance(error, ProblemError) or error.status in UNAVAILABLE
            if not away or clock() - heard >= patience_seconds:
                raise
        transport.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def is_final(event: Event) -> bool:
    """Whether no event follows."""
    return event["kind"] == "state" and event["data"].get("state") in FINAL_STATES


def _connection(transport: Transport, job: str, *, after: int) -> Iterator[Event | None]:
    """Yields None once the service has let us in, then the events."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(after)}
    timeout = httpx.Timeout(10, read=QUIET_SECONDS)
    with transport.stream(path_of("search-jobs", job, "events"), headers=headers, timeout=timeout) as response:
        yield None
        try:
            for message in EventSource(response).iter_sse():
                if message.data:
                    yield message.json()
        except (SSEError, ValueError):
            raise transport.foreign("a stream that is not one of events") from None
