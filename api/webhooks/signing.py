"""Signatures by HMAC-SHA256, as Standard Webhooks 1.0 has them (`lutnas.webhooks` verifies them)."""

import base64
import hashlib
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """What a webhook is signed with: 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(secret: str, message_id: str, body: bytes, *, seconds: int) -> dict[str, str]:
    """The headers of a message that is sent at `seconds` since 1970. The time is signed too, so that nobody who caught
    a message can send it again much later.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
