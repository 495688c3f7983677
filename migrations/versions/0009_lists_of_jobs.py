"""Indexes for an owner's newest jobs and for how many of them are open: both read all of an owner's jobs."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
LOSES: tuple[str, ...] = ()  # by going down


def upgrade() -> None:
    op.create_index(op.f("ix_search_jobs_owner_id"), "search_jobs", ["owner", "id"])
    op.create_index(op.f("ix_search_jobs_owner_state"), "search_jobs", ["owner", "state"])


def downgrade() -> None:
    op.drop_index(op.f("ix_search_jobs_owner_state"), "search_jobs")
    op.drop_index(op.f("ix_search_jobs_owner_id"), "search_jobs")
