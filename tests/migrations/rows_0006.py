"""Tokens of two kinds, one of them for a device, and what was written with them."""

import hashlib

from tests.migrations import rows_0005
from tests.migrations.plain import Rows
from tests.migrations.rows_0001 import AT

ADMIN = {
    **rows_0005.ROWS["tokens"][0], "id": "tok_1", "scopes": ["admin"], "teams": [], "device_id": None, "made_by": None,
    "expires_at": None, "revoked_at": None, "last_used_at": None,
}  # fmt: skip
AGENT = {
    **ADMIN, "id": "tok_2", "sha256": hashlib.sha256(b"agent").hexdigest(), "name": "agent", "scopes": ["profile"],
    "device_id": "dev_1", "made_by": "tok_1",
}  # fmt: skip
ENTRY = {
    "id": "aud_1", "at": AT, "token_id": "tok_1", "owner": "main", "method": "POST", "route": "/v1/devices",
    "object_id": "dev_1", "status": 201, "request_id": "r",
}  # fmt: skip

# Tokens name devices, so they come after them.
ROWS: Rows = {**{t: r for t, r in rows_0005.ROWS.items() if t != "tokens"}, "tokens": [ADMIN, AGENT], "audit": [ENTRY]}
