"""What routes ask for: the service's parts, the caller, a page.

A route opens its unit of work itself (`with service.database.write() as session`). As a generator dependency it would
take a thread of the pool to begin and another to end: on SQLite, forty writers that wait would keep the one that
holds the lock from its thread.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.artifacts.store import ArtifactStore
from api.auth.service import Caller, Unauthorized, identify
from api.bell import Bell
from api.db.session import Database
from api.jobs.tailer import Tailer
from api.settings import Settings

_bearer = HTTPBearer(auto_error=False, description="The token that `lutnas serve` made, or the operator's.")


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that requests share. They live as long as the process."""

    settings: Settings
    database: Database
    store: ArtifactStore
    bell: Bell
    tailer: Tailer


def running_service(request: Request) -> Service:
    """The service that answers this request."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(running_service)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def known_caller(service: Parts, credentials: Credentials) -> Caller:
    """Who asks; raises Unauthorized."""
    if credentials is None:
        raise Unauthorized("This needs a token: send `Authorization: Bearer TOKEN`.")
    with service.database.read() as session:
        return identify(session, credentials.credentials)


Authenticated = Annotated[Caller, Depends(known_caller)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page.")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, description="The same key again gives what the first one made.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What layers of a space shall choose among, instead of what the space says."""

    precision: list[str] | None
    width: list[float] | None
    sparsity: list[str] | None


def asked_choices(
    precision: Annotated[
        list[str] | None,
        Query(max_length=16, description="Precisions to choose among, instead of the space's."),
    ] = None,
    width: Annotated[
        list[float] | None, Query(max_length=16, description="Shares of middle channels, instead of the space's.")
    ] = None,
    sparsity: Annotated[
        list[str] | None,
        Query(max_length=16, description="Levels of zeros (`dense`, `2:4@0.5`), instead of the space's."),
    ] = None,
) -> Asked:
    """The query that routes about a space's operators share."""
    return Asked(precision, width, sparsity)


AskedChoices = Annotated[Asked, Depends(asked_choices)]
