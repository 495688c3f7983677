"""The same rows: only indexes are new."""

from tests.migrations import rows_0012

ROWS = rows_0012.ROWS
