"""A job that trains the network of another one on."""

from tests.migrations import rows_0010
from tests.migrations.plain import Rows

FIRST, *OTHERS = rows_0010.ROWS["search_jobs"]
EXTENDING = {**OTHERS[-1], "id": "job_5", "reproduces": None}
JOBS = [{**FIRST, "extends": None}, *({**job, "extends": None} for job in OTHERS), {**EXTENDING, "extends": "job_1"}]

ROWS: Rows = {**rows_0010.ROWS, "search_jobs": JOBS}
