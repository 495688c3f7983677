"""Bodies of requests: how large they may be, and where large ones wait."""

import re
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.problems import respond

DOCUMENT_BYTES = 1 << 20
MEASUREMENT_BYTES = 16 << 20  # as many layers as `api.spaces.service.MOST_DRAWN_LAYERS` draws
_IN_MEMORY = 1 << 20
_MEASUREMENTS = re.compile(r"/v1/tables/[^/]+/measurements/?")
_UPLOADS = re.compile(r"/v1/(devices/[^/]+/tables|datasets)/?")


class BodyLimit:
    """Refuses bodies above `max_upload_bytes` on routes for uploads, above 16 MiB of measurements and 1 MiB elsewhere:
    memory holds those.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        uploads: int = scope["app"].state.service.settings.max_upload_bytes  # the settings come with the lifespan
        documents = MEASUREMENT_BYTES if _MEASUREMENTS.fullmatch(scope["path"]) else DOCUMENT_BYTES
        most = uploads if _UPLOADS.fullmatch(scope["path"]) else documents
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > most:
            found = problem(slug="too-large", title="Too large", status=413, detail=_detail(most))
            await respond(found, scope["path"])(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, _detail(most))
            return message

        await self.app(scope, counted, send)


async def spooled_body(request: Request) -> AsyncIterator[BinaryIO]:
    """The body as a file, on disk once it is large; a dependency, for use after the one that knows the caller."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        async for chunk in request.stream():
            await run_in_threadpool(file.write, chunk)
        file.seek(0)
        yield cast(BinaryIO, file)


def _detail(most: int) -> str:
    return f"A body of at most {most} bytes is taken here."
