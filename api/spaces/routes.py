"""/v1/spaces."""

import random
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.auth.callers import Owner
from api.bodies import body_of, described
from api.dependencies import AskedChoices, Cursor, DeviceReader, Limit, Parts, Submitter
from api.devices import service as devices
from api.errors import InvalidRequest
from api.pages import Page
from api.spaces import service as spaces
from api.spaces.schemas import SampledArchitecture, SpaceOperators, SpaceSample, SpaceSummary
from api.tables import service as tables
from api.tables.schemas import OperatorView
from search.architecture import Architecture
from search.space import Space

router = APIRouter(prefix="/v1/spaces", tags=["spaces"])


@router.post("", status_code=201, responses={200: {"model": Space}}, openapi_extra=described(Space))
def create_space(
    caller: Submitter, service: Parts, space: Annotated[Space, Depends(body_of(Space))], response: Response
) -> Space:
    """Bring a search space of your own. The very same one again answers 200."""
    with service.database.write() as session:
        _, created = spaces.create(session, caller.owner, space)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/spaces/{space.name}"
    return space


@router.get("")
def list_spaces(caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[SpaceSummary]:
    """List the presets and your own, by name."""
    with service.database.read() as session:
        found, following = spaces.list_page(session, caller.owner, cursor=cursor, limit=limit)
    return Page(items=found, next_cursor=following)


@router.get("/{name}")
def read_space(name: str, caller: DeviceReader, service: Parts) -> Space:
    """Read a space as a document that can be brought again."""
    with service.database.read() as session:
        return spaces.get(session, caller.owner, name)


@router.get("/{name}/operators")
def list_operators(
    name: str,
    caller: DeviceReader,
    service: Parts,
    asked: AskedChoices,
    device: Annotated[
        str | None, Query(max_length=100, description="A device that is to time them: its owner's space.")
    ] = None,
) -> SpaceOperators:
    """List all that a profiler has to time for a space."""
    with service.database.read() as session:
        owner = caller.owner if device is None else Owner(devices.get(session, caller.owner, device).owner)
        space = spaces.offered(session, owner, name, asked.precision, asked.width, asked.sparsity)
    return SpaceOperators(space=space.name, operators=[OperatorView.model_validate(o) for o in space.operators()])


@router.get("/{name}/architectures")
def sample_architectures(
    name: str,
    caller: DeviceReader,
    service: Parts,
    asked: AskedChoices,
    count: Annotated[
        int, Query(ge=1, le=1000, description="Of a space of more than 100 layers fewer: 100,000 layers in all.")
    ] = 30,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    table: Annotated[
        str | None, Query(max_length=100, description="A table that they are for: its owner's space.")
    ] = None,
) -> SpaceSample:
    """Draw architectures of a space evenly, distinct as far as there are so many: a device that times them whole tells
    how far its table can be trusted.
    """
    with service.database.read() as session:
        owner = caller.owner if table is None else Owner(tables.get(session, caller.owner, table).owner)
        space = spaces.offered(session, owner, name, asked.precision, asked.width, asked.sparsity)
    if wrong := list(spaces.too_many_drawn(space, count, "count")):
        raise InvalidRequest("That many architectures are too long an answer.", errors=wrong)
    rng, drawn = random.Random(seed), dict[tuple[int, ...], None]()
    for _ in range(4 * count):
        drawn[tuple(rng.randrange(len(layer.choices)) for layer in space.layers)] = None
        if len(drawn) == count:
            break
    return SpaceSample(
        space=space.name,
        choices=space.choices,
        architectures=[_sampled(Architecture.from_indices(space, indices)) for indices in drawn],
    )


def _sampled(architecture: Architecture) -> SampledArchitecture:
    operators = [OperatorView.model_validate(operator) for operator in architecture.operators()]
    return SampledArchitecture(layers=list(architecture.layers), operators=operators)
