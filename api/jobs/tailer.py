"""Live events: one task a process asks the database what is new, and feeds all readers. No reader holds a session."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy import select

from api.db.session import Database
from api.jobs import events
from api.jobs.models import FINAL, SearchJob
from api.jobs.schemas import EventView

_POLL_SECONDS = 0.2
_PAGE = 500
_logger = logging.getLogger(__name__)


@dataclass
class _Channel:
    """A job that somebody watches: its newest event, and the last ones of those that came while it was watched."""

    last: int | None = None
    recent: deque[EventView] = field(default_factory=lambda: deque(maxlen=_PAGE))
    readers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def behind(self, after: int) -> list[EventView] | None:
        """What is new after `after`; None where the database has to say: memory does not reach back so far, or the
        reader asks for what comes after events that are not there, and the job may be at its end.
        """
        if self.last is None or after > self.last:
            return None
        if after == self.last:
            return []
        if not self.recent or self.recent[0].id > after + 1:
            return None
        return [event for event in self.recent if event.id > after]

    def publish(self, last: int, found: list[EventView]) -> None:
        self.last = last
        self.recent.extend(found)
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Tailer:
    """Starts with the first reader. `close` ends all streams: a server that stops waits for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[str, _Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def readers(self) -> int:
        """Streams that are open."""
        return sum(channel.readers for channel in list(self._channels.values()))

    async def follow(self, job_id: str, after: int) -> AsyncIterator[EventView]:
        """Events after `after` in order, as they happen; ends after the final one."""
        channel = self._channels.setdefault(job_id, _Channel())
        channel.readers += 1
        try:
            self._start()
            found: list[EventView] | None = None  # the past comes from the database
            while not self._closed:
                news = channel.news
                if found is None:
                    past, over = await asyncio.to_thread(self._page, job_id, after)
                    if over:
                        return
                    found = past
                for event in found:
                    yield event
                    after = event.id
                    if event.is_final:
                        return
                if not found:
                    await news.wait()
                found = channel.behind(after)
        finally:
            channel.readers -= 1
            if not channel.readers:
                self._channels.pop(job_id, None)

    def close(self) -> None:
        """Ends all streams."""
        self._closed = True
        for channel in self._channels.values():
            channel.wake()
        if self._task is not None:
            self._task.cancel()

    async def wait_closed(self) -> None:
        """Until nothing asks the database any more."""
        self.close()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="event tailer")

    async def _run(self) -> None:
        while self._channels and not self._closed:
            try:
                watched = {job_id: channel.last for job_id, channel in self._channels.items()}
                news = await asyncio.to_thread(self._news, watched)
                for job_id, (last, found) in news.items():
                    if job_id in self._channels:
                        self._channels[job_id].publish(last, found)
            except Exception:  # whatever it is, open streams wait for the next time
                _logger.warning("could not ask for events; asking again", exc_info=True)
            await asyncio.sleep(_POLL_SECONDS)

    def _news(self, watched: dict[str, int | None]) -> dict[str, tuple[int, list[EventView]]]:
        """For each job with news its newest event id and what came after the one known."""
        news: dict[str, tuple[int, list[EventView]]] = {}
        with self._database.read() as session:
            newest = select(SearchJob.id, SearchJob.last_event_id).where(SearchJob.id.in_(watched))
            for job_id, last in session.execute(newest):
                known = watched[job_id]
                if known is None:
                    news[job_id] = (last, [])
                elif last > known:
                    found = [EventView.of(row) for row in events.after(session, job_id, known, _PAGE)]
                    news[job_id] = (found[-1].id, found)
        return news

    def _page(self, job_id: str, after: int) -> tuple[list[EventView], bool]:
        """Events after `after`, and whether none will ever come."""
        with self._database.read() as session:
            job = session.get_one(SearchJob, job_id)
            found = [EventView.of(row) for row in events.after(session, job_id, after, _PAGE)]
            return found, not found and job.state in FINAL
