"""A webhook with a message that waits and one that was taken."""

from tests.migrations import rows_0009
from tests.migrations.plain import Rows

TIME = "2026-11-20 10:00:00+00:00"
WEBHOOK = {
    "id": "whk_1", "owner": "main", "url": "https://example.com/hook", "description": "", "events": ["succeeded"],
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "created_at": TIME,
}  # fmt: skip
WAITS = {
    "id": "msg_1", "webhook_id": "whk_1", "event": "search-job.succeeded", "job_id": "job_1", "body": "{}",
    "state": "pending", "attempts": 0, "next_try_us": 9_000_000_000_000_000, "claim": None, "claimed_until_us": 0,
    "tries": [], "created_at": TIME, "ended_at": None,
}  # fmt: skip
TAKEN = {
    **WAITS, "id": "msg_2", "state": "delivered", "attempts": 1, "ended_at": TIME,
    "tries": [{"at": "2026-11-20T10:00:00+00:00", "status": 200, "error": None, "milliseconds": 5}],
}  # fmt: skip

ROWS: Rows = {**rows_0009.ROWS, "webhooks": [WEBHOOK], "webhook_deliveries": [WAITS, TAKEN]}
