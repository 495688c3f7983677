"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
LOSES = (
    "architectures",
    "artifacts",
    "checkpoints",
    "datasets",
    "devices",
    "job_events",
    "job_labels",
    "search_jobs",
    "service_leases",
    "spaces",
    "table_rows",
    "tables",
    "tokens",
)  # by going down

# Types as they were when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.JSON()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_devices_owner_name")),
    )
    op.create_table(
        "search_jobs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("space", JSON, nullable=False),
        sa.Column("pins", JSON, nullable=False),
        sa.Column("progress", JSON, nullable=False),
        sa.Column("error", JSON, nullable=True),
        sa.Column("wish", TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("barren_attempts", sa.BigInteger(), nullable=False),
        sa.Column("lease_worker", TEXT, nullable=True),
        sa.Column("lease_expires_us", sa.BigInteger(), nullable=True),
        sa.Column("rings", sa.BigInteger(), nullable=False),
        sa.Column("next_ring_us", sa.BigInteger(), nullable=False),
        sa.Column("last_event_id", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=True),
        sa.Column("idempotency_hash", TEXT, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_jobs")),
        sa.UniqueConstraint("owner", "idempotency_key", name=op.f("uq_search_jobs_owner_idempotency_key")),
    )
    with op.batch_alter_table("search_jobs", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_search_jobs_state_lease_expires_us"), ["state", "lease_expires_us"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_search_jobs_state_next_ring_us"), ["state", "next_ring_us"], unique=False)

    op.create_table(
        "service_leases",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_leases")),
    )
    op.create_table(
        "spaces",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_spaces_owner_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_tokens")),
    )
    op.create_table(
        "architectures",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("space", TEXT, nullable=False),
        sa.Column("candidates", JSON, nullable=False),
        sa.Column("predicted_latency_us", JSON, nullable=False),
        sa.Column("test_accuracy", sa.Float(precision=53), nullable=True),
        sa.Column("layers", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_architectures_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_architectures")),
        sa.UniqueConstraint("job_id", name=op.f("uq_architectures_job_id")),
    )
    with op.batch_alter_table("architectures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_architectures_owner"), ["owner"], unique=False)

    op.create_table(
        "artifacts",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_artifacts_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_artifacts_job_id_name")),
    )
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_artifacts_owner"), ["owner"], unique=False)

    op.create_table(
        "checkpoints",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_checkpoints_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_job_events_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("job_id", "id", name=op.f("pk_job_events")),
    )
    op.create_table(
        "job_labels",
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["search_jobs.id"], name=op.f("fk_job_labels_job_id_search_jobs")),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_labels")),
    )
    with op.batch_alter_table("job_labels", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_labels_name_value"), ["name", "value"], unique=False)

    op.create_table(
        "tables",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("device_id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("device_name", TEXT, nullable=False),
        sa.Column("runtime", TEXT, nullable=False),
        sa.Column("runtime_version", TEXT, nullable=False),
        sa.Column("threads", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("measured_at", TIME, nullable=True),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_tables_device_id_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tables")),
        sa.UniqueConstraint("device_id", "content_hash", name=op.f("uq_tables_device_id_content_hash")),
        sa.UniqueConstraint("device_id", "version", name=op.f("uq_tables_device_id_version")),
    )
    op.create_table(
        "datasets",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("channels", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("classes", sa.BigInteger(), nullable=False),
        sa.Column("class_names", JSON, nullable=False),
        sa.Column("train_examples", sa.BigInteger(), nullable=False),
        sa.Column("test_examples", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("artifact_id", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name=op.f("fk_datasets_artifact_id_artifacts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_datasets_owner_name")),
    )
    op.create_table(
        "table_rows",
        sa.Column("table_id", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operator_hash", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("h", sa.BigInteger(), nullable=False),
        sa.Column("w", sa.BigInteger(), nullable=False),
        sa.Column("c_in", sa.BigInteger(), nullable=False),
        sa.Column("c_mid", sa.BigInteger(), nullable=False),
        sa.Column("c_out", sa.BigInteger(), nullable=False),
        sa.Column("stride", sa.BigInteger(), nullable=False),
        sa.Column("kernel", sa.BigInteger(), nullable=False),
        sa.Column("groups", sa.BigInteger(), nullable=False),
        sa.Column("weight_bits", sa.BigInteger(), nullable=False),
        sa.Column("activation_bits", sa.BigInteger(), nullable=False),
        sa.Column("sparsity", sa.Float(precision=53), nullable=False),
        sa.Column("pattern", TEXT, nullable=False),
        sa.Column("latency_us", sa.Float(precision=53), nullable=False),
        sa.Column("p10_us", sa.Float(precision=53), nullable=True),
        sa.Column("p90_us", sa.Float(precision=53), nullable=True),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("provenance", TEXT, nullable=False),
        sa.Column("energy_uj", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["table_id"], ["tables.id"], name=op.f("fk_table_rows_table_id_tables")),
        sa.PrimaryKeyConstraint("table_id", "position", name=op.f("pk_table_rows")),
        sa.UniqueConstraint("table_id", "operator_hash", name=op.f("uq_table_rows_table_id_operator_hash")),
    )


def downgrade() -> None:
    op.drop_table("table_rows")
    op.drop_table("datasets")
    op.drop_table("tables")
    with op.batch_alter_table("job_labels", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_labels_name_value"))

    op.drop_table("job_labels")
    op.drop_table("job_events")
    op.drop_table("checkpoints")
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_artifacts_owner"))

    op.drop_table("artifacts")
    with op.batch_alter_table("architectures", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_architectures_owner"))

    op.drop_table("architectures")
    op.drop_table("tokens")
    op.drop_table("spaces")
    op.drop_table("service_leases")
    with op.batch_alter_table("search_jobs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_search_jobs_state_next_ring_us"))
        batch_op.drop_index(batch_op.f("ix_search_jobs_state_lease_expires_us"))

    op.drop_table("search_jobs")
    op.drop_table("devices")
