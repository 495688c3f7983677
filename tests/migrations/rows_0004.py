"""A device that was asked for something."""

from tests.migrations import rows_0003
from tests.migrations.plain import Rows
from tests.migrations.rows_0001 import MADE

REQUEST = {
    "id": "req_1", **MADE, "idempotency_key": None, "idempotency_hash": None, "device_id": "dev_1", "number": 1,
    "kind": "profile", "spec": {"kind": "profile", "space": "small"}, "state": "queued", "wish": "", "progress": {},
    "result": None, "error": None, "agent": None, "attempt": 0, "lost_attempts": 0, "lease_expires_us": None,
    "started_at": None, "finished_at": None,
}  # fmt: skip

ROWS: Rows = {**rows_0003.ROWS, "device_requests": [REQUEST]}
