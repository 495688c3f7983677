"""Measurements as people write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.tables.schemas import Microseconds
from search.architecture import LayerChoice
from search.choices import Choices
from search.document import Document, Name

MOST_NETWORKS = 2000  # in one request
MOST_LAYERS = 4096  # as many as a space may have


class NewNetwork(Document):
    """A network that was timed: one choice a layer, and what a call took."""

    layers: Annotated[tuple[LayerChoice, ...], Field(min_length=1, max_length=MOST_LAYERS)]
    latency_us: Microseconds
    p10_us: Microseconds | None = None
    p90_us: Microseconds | None = None
    samples: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> "NewNetwork":
        if self.p10_us is not None and self.p90_us is not None and self.p10_us > self.p90_us:
            raise ValueError(f"p10_us {self.p10_us} is above p90_us {self.p90_us}")
        return self


class NewMeasurements(Document):
    """Networks of `space`, with `choices` where a job would name them too. What is said of runtime, threads and batch
    has to be what the table says.
    """

    space: Name
    choices: Choices | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    threads: int | None = None
    batch: int | None = None
    networks: Annotated[tuple[NewNetwork, ...], Field(min_length=1, max_length=MOST_NETWORKS)]


class MeasurementView(BaseModel):
    """One measured network, with what the table's rows predict."""

    model_config = ConfigDict(from_attributes=True)

    space: str
    layers: list[LayerChoice]
    latency_us: float
    p10_us: float | None
    p90_us: float | None
    samples: int
    predicted_us: float
    created_at: datetime
