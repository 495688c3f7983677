"""Which waiting job comes first, and what a job may take."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
LOSES = ("search_jobs.limits", "search_jobs.priority")  # by going down


def upgrade() -> None:
    """Jobs of before are all alike, and may take what they take."""
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.add_column(sa.Column("priority", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.alter_column("priority", server_default=None)
        batch_op.alter_column("limits", server_default=None)
        batch_op.create_index(op.f("ix_search_jobs_state_priority_id"), ["state", "priority", "id"])


def downgrade() -> None:
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.drop_index(op.f("ix_search_jobs_state_priority_id"))
        batch_op.drop_column("limits")
        batch_op.drop_column("priority")
