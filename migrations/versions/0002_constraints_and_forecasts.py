"""What an architecture is predicted by every constraint, what a job is expected to take and took, whose a pin is."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
LOSES = (
    "architectures.predicted",
    "search_jobs.forecast",
    "search_jobs.pace",
)  # by going down

JSON = sa.JSON()
JOBS = sa.table("search_jobs", sa.column("id", sa.Text()), sa.column("pins", JSON))


def upgrade() -> None:
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.add_column(sa.Column("predicted", JSON, nullable=False, server_default=sa.text("'[]'")))
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.alter_column("predicted", existing_type=JSON, server_default=None)  # it was for the rows that stood
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.add_column(sa.Column("forecast", JSON, nullable=True))
        batch_op.add_column(sa.Column("pace", JSON, nullable=True))
    _number_pins()


def downgrade() -> None:
    with op.batch_alter_table("search_jobs") as batch_op:
        batch_op.drop_column("pace")
        batch_op.drop_column("forecast")
    with op.batch_alter_table("architectures") as batch_op:
        batch_op.drop_column("predicted")


def _number_pins() -> None:
    """Every constraint had a table so far, in their order; now a pin says whose it is."""
    connection = op.get_bind()
    for job_id, pins in connection.execute(sa.select(JOBS.c.id, JOBS.c.pins)).all():
        pins = json.loads(pins) if isinstance(pins, str) else pins
        numbered = [{"constraint": number, **pin} for number, pin in enumerate(pins["tables"])]
        changed = {**pins, "tables": numbered}
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(pins=changed))
