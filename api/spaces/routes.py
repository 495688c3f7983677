"""/v1/spaces."""

from fastapi import APIRouter, Response

from api.dependencies import Authenticated, Cursor, Limit, Parts
from api.pages import Page
from api.spaces import service as spaces
from api.spaces.schemas import SpaceOperators, SpaceSummary
from api.tables.schemas import OperatorView
from search.space import Space

router = APIRouter(prefix="/v1/spaces", tags=["spaces"])


@router.post("", status_code=201, responses={200: {"model": Space}})
def create_space(space: Space, caller: Authenticated, service: Parts, response: Response) -> Space:
    """Bring a search space of your own. The very same one again answers 200."""
    with service.database.write() as session:
        _, created = spaces.create(session, caller.owner, space)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/spaces/{space.name}"
    return space


@router.get("")
def list_spaces(caller: Authenticated, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[SpaceSummary]:
    """List the presets and your own, by name."""
    with service.database.read() as session:
        found, following = spaces.list_page(session, caller.owner, cursor=cursor, limit=limit)
    return Page(items=[SpaceSummary.of(space, created_at) for space, created_at in found], next_cursor=following)


@router.get("/{name}")
def read_space(name: str, caller: Authenticated, service: Parts) -> Space:
    """Read a space as a document that can be brought again."""
    with service.database.read() as session:
        return spaces.get(session, caller.owner, name)


@router.get("/{name}/operators")
def list_operators(name: str, caller: Authenticated, service: Parts) -> SpaceOperators:
    """List all that a profiler has to time for a space."""
    with service.database.read() as session:
        space = spaces.get(session, caller.owner, name)
    return SpaceOperators(space=space.name, operators=[OperatorView.model_validate(o) for o in space.operators()])
