"""What routes ask for: the service's parts, the caller with the scope that the route needs, a page.

A route opens its unit of work itself (`with service.database.write() as session`). As a generator dependency it would
take a thread of the pool to begin and another to end: on SQLite, forty writers that wait would keep the one that
holds the lock from its thread.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Header, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from api.artifacts.store import ArtifactStore
from api.audit import trail
from api.auth.callers import Caller
from api.auth.errors import Unauthorized
from api.auth.known import KnownCallers
from api.auth.rates import Rates
from api.auth.service import identify, token_hash
from api.auth.uses import Uses
from api.bell import Bell
from api.db.session import Database
from api.jobs.tailer import Tailer
from api.settings import Settings
from api.telemetry.context import learn
from search.choices import MOST_OPTIONS

_bearer = HTTPBearer(
    auto_error=False,
    description="The token that `lutnas serve` made, the operator's, or one of POST /v1/tokens. Each route lists the "
    "scope that it needs; `admin` is all of them.",
)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that requests share. They live as long as the process."""

    settings: Settings
    database: Database
    store: ArtifactStore
    bell: Bell
    tailer: Tailer
    rates: Rates
    uses: Uses
    known: KnownCallers


async def running_service(request: Request) -> Service:
    """The service that answers this request. No dependency that only looks is `def`: that would be a thread each."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(running_service)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


Team = Annotated[
    str | None,
    Header(alias="X-Lutnas-Team", max_length=200, description="A team of the token: the request is done for it alone."),
]


async def known_caller(
    service: Parts, credentials: Credentials, needed: SecurityScopes, later: BackgroundTasks, team: Team = None
) -> Caller:
    """Who asks, with one of the scopes that are needed. Raises Unauthorized, TooManyRequests, Forbidden."""
    if credentials is None:
        raise Unauthorized("This needs a token: send `Authorization: Bearer TOKEN`.")
    now = datetime.now(UTC)
    key = token_hash(credentials.credentials)
    caller, forgotten = service.known.find(key, now), service.known.forgotten
    if caller is None:
        caller = await run_in_threadpool(_identified, service, credentials.credentials, now)
        if service.uses.is_due(caller, now):
            later.add_task(service.uses.note, caller.token_id)
        else:
            service.known.keep(key, caller, forgotten)
    learn(token_id=caller.token_id)
    service.rates.take(caller.token_owner)
    trail.known(caller.token_id, caller.owner.name)
    caller.require(needed.scopes)
    caller = caller.on_behalf_of(team)
    trail.known(caller.token_id, caller.owner.name)
    return caller


def _identified(service: Service, secret: str, now: datetime) -> Caller:
    with service.database.read() as session:
        return identify(session, secret, now=now)


Authenticated = Annotated[Caller, Security(known_caller)]
Reader = Annotated[Caller, Security(known_caller, scopes=["read"])]
Submitter = Annotated[Caller, Security(known_caller, scopes=["submit"])]
Profiler = Annotated[Caller, Security(known_caller, scopes=["profile"])]
DeviceReader = Annotated[Caller, Security(known_caller, scopes=["read", "profile"])]  # one of them is enough
Admin = Annotated[Caller, Security(known_caller, scopes=["admin"])]
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


async def asked_choices(
    precision: Annotated[
        list[str] | None,
        Query(max_length=MOST_OPTIONS, description="Precisions to choose among, instead of the space's."),
    ] = None,
    width: Annotated[
        list[float] | None,
        Query(max_length=MOST_OPTIONS, description="Shares of middle channels, instead of the space's."),
    ] = None,
    sparsity: Annotated[
        list[str] | None,
        Query(max_length=MOST_OPTIONS, description="Levels of zeros (`dense`, `2:4@0.5`), instead of the space's."),
    ] = None,
) -> Asked:
    """The query that routes about a space's operators share."""
    return Asked(precision, width, sparsity)


AskedChoices = Annotated[Asked, Depends(asked_choices)]
