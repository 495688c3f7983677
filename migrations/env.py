"""Alembic's entry: runs the revisions on the connection that `api.db.migrate` gives.

It has foreign keys off on SQLite: a batch migration rebuilds a table, and dropping the old one would cascade its
children away.
"""

from alembic import context

from api.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
