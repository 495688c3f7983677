"""GET /healthz and /readyz: for whoever watches the process. They need no token."""

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.db.migrate import is_current
from api.dependencies import Parts

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Whether all is well, part by part."""

    ok: bool
    checks: dict[str, str]


@router.get("/healthz")
async def read_health() -> Health:  # async: it needs none of the threads that others may wait in
    """The process answers."""
    return Health(ok=True, checks={})


@router.get("/readyz", responses={503: {"model": Health}})
def read_readiness(service: Parts, response: Response) -> Health:
    """Requests can be served: the database answers and is migrated, the artifact store can be used.

    A broker that is away is told, and costs no readiness: jobs are taken all the same, and announced once it is back.
    """
    needed = {"database": _database(service), "artifacts": service.store.fault() or "ok"}
    ok = all(found == "ok" for found in needed.values())
    checks = {**needed, "broker": service.bell.fault() or "ok"}
    response.status_code = 200 if ok else 503
    return Health(ok=ok, checks=checks)


def _database(service: Parts) -> str:
    try:
        with service.database.read() as session:
            session.execute(text("SELECT 1"))
            return "ok" if is_current(session.connection()) else "is not migrated: run `lutnas migrate`"
    except SQLAlchemyError as error:
        return f"does not answer: {type(error).__name__}"
