"""Which job another one trains the network of."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
LOSES = ("search_jobs.extends",)  # by going down

# As it was when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.add_column(sa.Column("extends", TEXT, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.drop_column("extends")
