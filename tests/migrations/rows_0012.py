"""A job that stands in the middle of its comparison, one network of which is done."""

from tests.migrations import rows_0011
from tests.migrations.plain import Rows

WAITS = {
    "job_id": "job_2", "number": 2, "method": "random", "share": 0.85, "seed": 0, "state": "queued", "attempt": 1,
    "lost": 1, "worker": None, "lease_expires_us": None, "step": 0, "steps": 40, "result": None, "problem": None,
    "environment": {"torch": "2", "threads": 2}, "started_at": "2026-11-20 10:00:00+00:00", "ended_at": None,
}  # fmt: skip
RESULT = {"method": "search", "share": 1.0, "seed": 0, "layers": [], "predicted": {}, "before": 0.5, "after": 0.75}
DONE = {
    **WAITS, "number": 1, "method": "search", "share": 1.0, "state": "done", "worker": "w", "lost": 0, "step": 1,
    "steps": 1, "result": RESULT, "ended_at": "2026-11-20 10:00:01+00:00",
}  # fmt: skip

ROWS: Rows = {**rows_0011.ROWS, "compared_networks": [DONE, WAITS]}
