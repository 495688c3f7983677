"""The audit trail as the API shows it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class AuditView(BaseModel):
    """One write, or one that was refused. `request_id` is the X-Request-Id of its answer."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    at: datetime
    token_id: str
    owner: str
    method: str
    route: str
    object_id: str | None
    status: int
    request_id: str
