"""GET /v1/audit."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from sqlalchemy import select

from api.audit.models import AuditEntry
from api.audit.schemas import AuditView
from api.dependencies import Admin, Cursor, Limit, Parts
from api.pages import Page
from api.paging import page

router = APIRouter(prefix="/v1/audit", tags=["audit"])
Since = Annotated[AwareDatetime | None, Query(description="Only what was written at that time or later.")]
Actor = Annotated[str | None, Query(max_length=200, description="A token by its id, or an owner.")]
Object = Annotated[
    str | None, Query(alias="object", max_length=200, description="What was made or changed, by its id.")
]


@router.get("")
def list_audit(
    caller: Admin, service: Parts, since: Since = None, actor: Actor = None, object_id: Object = None,
    limit: Limit = 100, cursor: Cursor = None,
) -> Page[AuditView]:  # fmt: skip
    """List what was written with which token, of all owners, newest first."""
    entries = select(AuditEntry)
    if since is not None:
        entries = entries.where(AuditEntry.at >= since)
    if actor is not None:
        entries = entries.where((AuditEntry.token_id == actor) | (AuditEntry.owner == actor))
    if object_id is not None:
        entries = entries.where(AuditEntry.object_id == object_id)
    with service.database.read() as session:
        found, following = page(session, entries, AuditEntry.id, cursor=cursor, limit=limit, newest_first=True)
        return Page(items=[AuditView.model_validate(row) for row in found], next_cursor=following)
