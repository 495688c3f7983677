"""What every answer carries: headers that tell browsers what not to do with it, and an id to find it by in logs.

An answer that brings a policy of its own keeps it, as a page of HTML has to.
"""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-Id"
STRICT = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# The page that FastAPI writes at /docs: one script of its own, Swagger's files from where FastAPI takes them.
_DOCS = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net "
    "'unsafe-inline'; img-src data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
_POLICIES = {"/docs": _DOCS}
_OURS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def seal(scope: Scope, headers: MutableHeaders) -> None:
    """Adds what every answer to the request carries."""
    for name, value in _OURS.items():
        headers[name] = value
    headers.setdefault("Content-Security-Policy", _POLICIES.get(scope["path"], STRICT))
    headers[REQUEST_ID] = scope["request_id"]
    seconds: int | None = scope["app"].state.service.settings.hsts_seconds
    if seconds is not None:
        headers["Strict-Transport-Security"] = f"max-age={seconds}"


class Envelope:
    """Seals each answer. A request id that comes from before is kept where it is one, else one is made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        scope["request_id"] = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seal(scope, MutableHeaders(scope=message))
            await send(message)

        await self.app(scope, receive, sealed)
