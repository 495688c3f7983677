"""Streams of events: how many there may be, and signs of life in a quiet one.

Errors:
    TooManyStreams (DomainError)   503  too-many-streams: `retry_after_seconds`, and Retry-After
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from api.errors import DomainError

PING_SECONDS = 15.0
BUSY_SECONDS = 10
Item = TypeVar("Item")


class TooManyStreams(DomainError):
    """This process serves as many streams as it may."""

    status = 503
    slug = "too-many-streams"
    title = "Too many streams"


def check_room(streams: int, most: int) -> None:
    """Raises TooManyStreams."""
    if streams >= most:
        raise TooManyStreams(
            f"This process serves {most} streams of events, as many as it may (LUTNAS_MAX_EVENT_STREAMS): try again, "
            "or ask for the events without `Accept: text/event-stream`.",
            retry_after_seconds=BUSY_SECONDS,
        )


async def with_pings(source: AsyncIterator[Item], seconds: float = PING_SECONDS) -> AsyncIterator[Item | None]:
    """What `source` gives, and None whenever it was silent for `seconds`."""
    assert isinstance(source, AsyncGenerator)
    async with aclosing(source):
        following: asyncio.Task[Item] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(source))
                done, _ = await asyncio.wait({following}, timeout=seconds)
                if not done:
                    yield None
                    continue
                item, following = following, None
                try:
                    yield item.result()
                except StopAsyncIteration:
                    return
        finally:
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
