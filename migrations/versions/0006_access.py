"""Tokens that have an id and may do some things only, and the trail of what was written with them."""

import secrets
import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
LOSES = (
    "audit",
    "tokens.id",
    "tokens.scopes",
    "tokens.teams",
    "tokens.device_id",
    "tokens.made_by",
    "tokens.expires_at",
    "tokens.revoked_at",
    "tokens.last_used_at",
    "rows of tokens",
)  # by going down

# Types as they were when this was written: a revision does not change with the models.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.JSON()
TIME = sa.DateTime(timezone=True)
ALPHABET = "0123456789abcdefghijklmnopqrstuv"
KEPT = ("sha256", "owner", "name", "created_at")


def upgrade() -> None:
    """Tokens get another primary key: the table is made anew. Those that stood could do all, and still can."""
    stood = _taken_out()
    tokens = op.create_table(
        "tokens",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("teams", JSON, nullable=False),
        sa.Column("device_id", TEXT, nullable=True),
        sa.Column("made_by", TEXT, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_tokens_device_id_devices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.bulk_insert(tokens, [{**row, "id": _new_id(), "scopes": ["admin"], "teams": []} for row in stood])
    op.create_table(
        "audit",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("route", TEXT, nullable=False),
        sa.Column("object_id", TEXT, nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )


def downgrade() -> None:
    """Tokens of before could do all: only those that can do all are kept."""
    stood = [row for row in _taken_out(("scopes", "expires_at", "revoked_at")) if _may_do_all(row)]
    tokens = op.create_table(
        "tokens",
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_tokens")),
    )
    op.bulk_insert(tokens, [{name: row[name] for name in KEPT} for row in stood])
    op.drop_table("audit")


def _taken_out(more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    types: dict[str, Any] = {"scopes": JSON, "created_at": TIME, "expires_at": TIME, "revoked_at": TIME}
    table = sa.table("tokens", *(sa.column(name, types.get(name, TEXT)) for name in (*KEPT, *more)))
    rows = [dict(row) for row in op.get_bind().execute(sa.select(table)).mappings()]
    op.drop_table("tokens")
    return rows


def _may_do_all(row: dict[str, Any]) -> bool:
    scopes = row["scopes"]
    return isinstance(scopes, list) and "admin" in scopes and row["expires_at"] is row["revoked_at"] is None


def _new_id() -> str:
    """As `api.ids.new_id` made them when this was written."""
    number = (time.time_ns() // 1_000_000) << 52 | secrets.randbits(52)
    return "tok_" + "".join(ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))
