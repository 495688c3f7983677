"""What the agents of devices are asked to do."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
LOSES = ("device_requests",)  # by going down

# Types as they were when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.JSON()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "device_requests",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=True),
        sa.Column("idempotency_hash", TEXT, nullable=True),
        sa.Column("device_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("wish", TEXT, nullable=False),
        sa.Column("progress", JSON, nullable=False),
        sa.Column("result", JSON, nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("lost_attempts", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_us", sa.BigInteger(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_device_requests_device_id_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_requests")),
        sa.UniqueConstraint("device_id", "number", name=op.f("uq_device_requests_device_id_number")),
        sa.UniqueConstraint("owner", "idempotency_key", name=op.f("uq_device_requests_owner_idempotency_key")),
    )
    with op.batch_alter_table("device_requests") as batch_op:
        batch_op.create_index(op.f("ix_device_requests_device_id_state"), ["device_id", "state"], unique=False)


def downgrade() -> None:
    op.drop_table("device_requests")
