"""What OpenAPI says of routes that answer with a file: whole, in part, or not at all where its reader has it."""

from typing import Any

from api.problems import RESPONSES

_HEADERS = {
    "Range": "A part of it: `bytes=0-1023`. Several at once, or what cannot be read, give the whole.",
    "If-Range": "The ETag that the part is of; where it is another, the whole comes.",
    "If-None-Match": "ETags that the reader has: 304 where one is that of the file.",
}
_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_REFUSED = {"content": RESPONSES["default"]["content"]}

# Beside what is said of every route.
FILE_REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]
}
FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file, with its checksum as ETag.", **_BINARY},
    206: {"description": "The part that Range names.", **_BINARY},
    304: {"description": "The reader has it."},
    416: {"description": "Range is after the end: `range-not-satisfiable`; Content-Range has the size.", **_REFUSED},
}
