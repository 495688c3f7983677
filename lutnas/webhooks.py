"""What a receiver of webhooks needs: is this message from our service, and of now?

    message = verify(request.body, request.headers, secret)     # raises SignatureError
    if message["type"] == "search-job.succeeded": ...

It needs Python alone. A message may come twice: its webhook-id tells.

Errors:
    SignatureError (ValueError)   the message is none of ours, or too old: answer 400, and do nothing
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

TOLERANCE_SECONDS = 300.0
_PREFIX = "whsec_"


class SignatureError(ValueError):
    """The message is none of ours, or too old."""


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, *, tolerance_seconds: float = TOLERANCE_SECONDS,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:  # fmt: skip
    """The message, once it is certain that who holds `secret` sent these very bytes within `tolerance_seconds` of now
    (Standard Webhooks 1.0). `headers` by names in any case; `clock` gives seconds since 1970. Raises SignatureError,
    and ValueError for a `secret` that is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, sent_at, signatures = (_header(given, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not (sent_at.isascii() and sent_at.isdigit()):
        raise SignatureError(f"webhook-timestamp is {sent_at!r}: seconds since 1970 are expected")
    # Frameworks give bytes that are no text as surrogates.
    signed = f"{message_id}.{sent_at}.".encode(errors="replace") + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    # In constant time each: how long it takes tells nothing of the right one.
    if not any(hmac.compare_digest(expected, one.encode(errors="replace")) for one in signatures.split(" ")):
        raise SignatureError("webhook-signature does not fit: another secret, or the body was changed on its way")
    if abs(clock() - int(sent_at)) > tolerance_seconds:
        raise SignatureError(f"webhook-timestamp is more than {tolerance_seconds:g} s off: an old message, or a clock")
    message: dict[str, Any] = json.loads(body)
    return message


def _header(given: Mapping[str, str], name: str) -> str:
    if name not in given:
        raise SignatureError(f"the header {name} is missing")
    return given[name]


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:  # with an empty one anybody can sign
        raise ValueError("the secret of a webhook looks like whsec_ and base64; this one does not")
    return key
