"""A job that says which one it repeats."""

from tests.migrations import rows_0004
from tests.migrations.plain import Rows, widened
from tests.migrations.rows_0001 import a_job

REPEATED = {**a_job("job_4", "queued"), **{k: v for k, v in rows_0004.ROWS["search_jobs"][0].items() if k == "pins"}}

ROWS: Rows = widened(rows_0004.ROWS, search_jobs={"reproduces": None})
ROWS["search_jobs"].append({**REPEATED, "last_event_id": 0, "reproduces": "job_1"})
