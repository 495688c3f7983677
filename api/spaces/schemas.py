"""Search spaces as the API shows them. A space itself is `search.space.Space`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from api.tables.schemas import OperatorView
from search.architecture import LayerChoice
from search.choices import Choices
from search.space import Space


class SpaceSummary(BaseModel):
    """A line in the list of spaces. `created_at` is None for a preset."""

    name: str
    origin: Literal["preset", "own"]
    note: str
    input: dict[str, int]
    classes: int
    layers: int
    architectures: int
    created_at: datetime | None

    @classmethod
    def of(cls, space: Space, created_at: datetime | None) -> "SpaceSummary":
        """What the list says of `space`."""
        return cls(
            name=space.name, origin="own" if created_at else "preset", note=space.note, input=space.input.model_dump(),
            classes=space.classes, layers=len(space.layers), architectures=space.size, created_at=created_at,
        )  # fmt: skip


class SampledArchitecture(BaseModel):
    """An architecture drawn evenly: the choice of each layer, and the operators of the whole network in order."""

    layers: list[LayerChoice]
    operators: list[OperatorView]


class SpaceSample(BaseModel):
    """Architectures of a space to be timed whole, as `POST /v1/tables/{id}/measurements` takes them."""

    space: str
    choices: Choices
    architectures: list[SampledArchitecture]


class SpaceOperators(BaseModel):
    """What a profiler has to time for a space."""

    space: str
    operators: list[OperatorView]
