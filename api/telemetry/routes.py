"""GET /metrics: for Prometheus, in the form that it asks for."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Response, Security
from fastapi.security import SecurityScopes
from prometheus_client.exposition import choose_encoder

from api.dependencies import Credentials, Parts, Team, known_caller
from api.telemetry.scrape import Scrape

router = APIRouter(tags=["health"])


async def _scraper(
    service: Parts, credentials: Credentials, needed: SecurityScopes, later: BackgroundTasks, team: Team = None
) -> None:
    """Lets in who may scrape: anybody where the operator opened it. Raises as `known_caller` does."""
    if not service.settings.metrics_open:
        await known_caller(service, credentials, needed, later, team)


@router.get("/metrics", dependencies=[Security(_scraper, scopes=["admin"])], response_class=Response)
def read_metrics(service: Parts, accept: Annotated[str, Header()] = "") -> Response:
    """What this process counts and what the database knows, as Prometheus reads it. Open with LUTNAS_METRICS_OPEN."""
    encode, media_type = choose_encoder(accept)
    return Response(encode(Scrape(service.database, service.tailer)), headers={"Content-Type": media_type})
