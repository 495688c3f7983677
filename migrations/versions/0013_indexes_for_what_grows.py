"""Indexes for what read the whole of a table that only grows: requests to devices at each sweep, the paces of jobs
that have ended at each submission, and the audit trail of one object.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
LOSES: tuple[str, ...] = ()  # by going down

INDEXES = {
    "device_requests": ["state", "lease_expires_us"],
    "search_jobs": ["state", "finished_at"],
    "audit": ["object_id", "id"],
}


def upgrade() -> None:
    for table, columns in INDEXES.items():
        op.create_index(op.f("_".join(["ix", table, *columns])), table, columns)


def downgrade() -> None:
    for table, columns in INDEXES.items():
        op.drop_index(op.f("_".join(["ix", table, *columns])), table)
