"""A file as an answer, whole or in part, from whichever store: ETag, Range, If-Range and If-None-Match (RFC 9110)."""

import re
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore
from api.errors import problem
from api.problems import respond

_RANGE = re.compile(r"bytes=(\d{0,99})-(\d{0,99})")  # Python reads no int of thousands of digits


def file_response(request: Request, store: ArtifactStore, artifact: Artifact) -> Response:
    """The file with its checksum as ETag. Content never changes. Raises StoreError.

    It is an attachment. A browser that shows a page of it all the same gives it no script, no origin and no network.
    """
    headers = {
        "ETag": f'"{artifact.sha256}"',
        "Cache-Control": "private, immutable, max-age=31536000",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    start, end = _wanted(request, headers["ETag"], artifact.bytes) or (0, artifact.bytes)
    is_part = end - start < artifact.bytes
    if start >= end and artifact.bytes:
        return _beyond(request, artifact.bytes)
    headers |= {"Content-Length": str(end - start), "Content-Disposition": _attachment(artifact.name)}
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.bytes}"
    status = 206 if is_part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=artifact.media_type)
    pieces = store.open(artifact.path, start, end)
    return StreamingResponse(pieces, status, headers=headers, media_type=artifact.media_type)


def _wanted(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last of the part that is asked for; None for the whole.

    A Range that is none, or several at once, may be answered with the whole, and is.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or asked[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return None
    if not asked[1]:
        return max(0, size - int(asked[2])), size
    start, end = int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size
    return None if asked[2] and int(asked[2]) < start else (start, end)


def _beyond(request: Request, size: int) -> Response:
    detail = f"The file has {size} bytes: nothing of it lies in {request.headers['range']!r}."
    found = problem(slug="range-not-satisfiable", title="Range not satisfiable", status=416, detail=detail)
    return respond(found, request.url.path, {"Content-Range": f"bytes */{size}"})


def _attachment(name: str) -> str:
    quoted = quote(name)
    return f'attachment; filename="{name}"' if quoted == name else f"attachment; filename*=utf-8''{quoted}"
