"""Tokens as people ask for them and as the API shows them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from api.auth.callers import Scope
from search.document import Document, Name


class NewToken(Document):
    """A token to make. `teams` are owners whose things it may use beside its own; with `device`, the name or id of one,
    it is for the agent of that device and nothing else.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=4)]
    owner: Name | None = None
    teams: Annotated[tuple[Name, ...], Field(max_length=32)] = ()
    device: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _agent_alone(self) -> Self:
        if self.device is not None and (set(self.scopes) != {"profile"} or self.teams):
            raise ValueError("device: the token of a device has the scope profile alone, and no teams")
        return self


class TokenView(BaseModel):
    """What is known of a token. `device` is the name of the one that it is for, `made_by` the id of the token that
    asked for it; `last_used_at` may be some minutes old.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    owner: str
    name: str
    scopes: list[Scope]
    teams: list[str]
    device: str | None
    made_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class MadeToken(TokenView):
    """A token that was just made. `secret` is shown this once."""

    secret: str
