"""Jobs with priorities and limits."""

from tests.migrations import rows_0007
from tests.migrations.plain import Rows

JOBS = [{**job, "priority": 3, "limits": {"max_seconds": 60.0}} for job in rows_0007.ROWS["search_jobs"]]

ROWS: Rows = {**rows_0007.ROWS, "search_jobs": JOBS}
