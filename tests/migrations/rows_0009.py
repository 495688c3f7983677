"""The same rows: only indexes are new."""

from tests.migrations import rows_0008

ROWS = rows_0008.ROWS
