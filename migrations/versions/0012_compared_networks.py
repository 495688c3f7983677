"""Networks of a comparison that several workers share."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
LOSES = ("compared_networks",)  # by going down: a comparison that is under way begins anew

# Types as they were when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "compared_networks",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("share", sa.Float(precision=53), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("worker", TEXT, nullable=True),
        sa.Column("lease_expires_us", sa.BigInteger(), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("environment", sa.JSON(), nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_compared_networks_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_compared_networks")),
    )
    op.create_index(
        op.f("ix_compared_networks_state_lease_expires_us"), "compared_networks", ["state", "lease_expires_us"]
    )


def downgrade() -> None:
    op.drop_table("compared_networks")
