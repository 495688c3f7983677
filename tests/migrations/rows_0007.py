"""How the first job was tried: once in vain, then to its end."""

from tests.migrations import rows_0006
from tests.migrations.plain import Rows
from tests.migrations.rows_0001 import AT

FAILED = {
    "job_id": "job_1", "number": 1, "worker": "w", "environment": {"torch": "2", "threads": 2}, "started_at": AT,
    "ended_at": AT, "ended": "lease-lost", "reason": "the lease of w ran out", "problem": None, "last_step": 3,
    "traceback": None, "log": "began",
}  # fmt: skip
DONE = {**FAILED, "number": 2, "ended": "succeeded", "reason": None, "last_step": 10}

ROWS: Rows = {**rows_0006.ROWS, "attempts": [FAILED, DONE]}
