"""A file as an answer: whole, in part, or not at all where its reader has it."""

from typing import Any

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from api.errors import problem
from api.problems import RESPONSES, respond

_HEADERS = {
    "Range": "Parts of it: `bytes=0-1023`.",
    "If-Range": "The ETag that the parts are of; where it is another, the whole comes.",
    "If-None-Match": "ETags that the reader has: 304 where one is that of the file.",
}
_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_PARTS = {"content": {**_BINARY["content"], "multipart/byteranges": {"schema": {"type": "string"}}}}
_REFUSED = {"content": RESPONSES["default"]["content"]}

# What OpenAPI says of a route that answers with a file, beside what it says of every route.
FILE_REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]
}
FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file, with its checksum as ETag.", **_BINARY},
    206: {"description": "The parts that Range names; several come as multipart/byteranges.", **_PARTS},
    304: {"description": "The reader has it."},
    400: {"description": "Range cannot be read: `bad-range`.", **_REFUSED},
    416: {"description": "Range is behind the end: `range-not-satisfiable`; Content-Range has the size.", **_REFUSED},
}


class FileAnswer(FileResponse):
    """Sends a file. A range that cannot be given is refused by a problem, as all that is refused."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: list[Message] = []

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused.append(message)
            if not refused:
                await send(message)

        await super().__call__(scope, receive, told)
        if refused:
            await _refuse(refused[0], scope, receive, send)


async def _refuse(start: Message, scope: Scope, receive: Receive, send: Send) -> None:
    if start["status"] == 400:
        found = problem(
            slug="bad-range", title="Bad range", status=400, detail="Range cannot be read: write it as bytes=0-1023."
        )
        await respond(found, scope["path"])(scope, receive, send)
        return
    size = dict(start["headers"])[b"content-range"].decode()
    detail = f"Range names nothing of the file, which has {size.rpartition('/')[2]} bytes."
    found = problem(slug="range-not-satisfiable", title="Range not satisfiable", status=416, detail=detail)
    await respond(found, scope["path"], {"Content-Range": size})(scope, receive, send)
