"""Signs of life in a quiet stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

PING_SECONDS = 15.0
Item = TypeVar("Item")


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
