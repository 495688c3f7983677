"""Attempts of jobs: who tried, when, how it ended, and what was logged."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
LOSES = ("attempts",)  # by going down

# Types as they were when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """A job that runs while this happens gets the row of its attempt; what was tried before is in the events alone."""
    op.create_table(
        "attempts",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("environment", sa.JSON(), nullable=True),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("ended", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("traceback", TEXT, nullable=True),
        sa.Column("log", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_attempts_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_attempts")),
    )
    op.execute(
        "INSERT INTO attempts (job_id, number, worker, started_at, log) "
        "SELECT id, attempt, lease_worker, CURRENT_TIMESTAMP, '' FROM search_jobs WHERE state = 'running'"
    )


def downgrade() -> None:
    op.drop_table("attempts")
