"""GET /v1/audit."""

from fastapi import APIRouter
from sqlalchemy import select

from api.audit.models import AuditEntry
from api.audit.schemas import AuditView
from api.dependencies import Admin, Cursor, Limit, Parts
from api.pages import Page
from api.paging import page

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("")
def list_audit(caller: Admin, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[AuditView]:
    """List what was written with which token, of all owners, newest first."""
    with service.database.read() as session:
        entries = select(AuditEntry)
        found, following = page(session, entries, AuditEntry.id, cursor=cursor, limit=limit, newest_first=True)
        return Page(items=[AuditView.model_validate(row) for row in found], next_cursor=following)
