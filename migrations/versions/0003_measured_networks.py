"""Networks and architectures that devices timed whole, and how far a table's predictions are off."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
LOSES = (
    "measured_networks",
    "architectures.measured",
    "tables.calibration",
)  # by going down


def upgrade() -> None:
    with op.batch_alter_table("tables") as batch_op:
        batch_op.add_column(sa.Column("calibration", sa.JSON(), nullable=True))
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.add_column(sa.Column("measured", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.alter_column("measured", existing_type=sa.JSON(), server_default=None)  # it was for rows that stood
    op.create_table(
        "measured_networks",
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("layers", sa.JSON(), nullable=False),
        sa.Column("latency_us", sa.Float(53), nullable=False),
        sa.Column("p10_us", sa.Float(53), nullable=True),
        sa.Column("p90_us", sa.Float(53), nullable=True),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("predicted_us", sa.Float(53), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["table_id"], ["tables.id"], name=op.f("fk_measured_networks_table_id_tables")),
        sa.PrimaryKeyConstraint("table_id", "position", name=op.f("pk_measured_networks")),
    )


def downgrade() -> None:
    op.drop_table("measured_networks")
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.drop_column("measured")
    with op.batch_alter_table("tables") as batch_op:
        batch_op.drop_column("calibration")
