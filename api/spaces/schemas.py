"""Search spaces as the API shows them. A space itself is `search.space.Space`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from api.tables.schemas import OperatorView
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


class SpaceOperators(BaseModel):
    """What a profiler has to time for a space."""

    space: str
    operators: list[OperatorView]
