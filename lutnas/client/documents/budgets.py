"""What constraints ask for: before a job, and of an architecture."""

from typing import Literal, NotRequired, TypedDict

from lutnas.client.documents.jobs import Forecast
from lutnas.client.errors import FieldError

Metric = Literal["latency", "energy", "size", "memory", "macs"]


class Reachable(TypedDict):
    """Least and greatest total of one constraint over a space, in the fields of its metric's unit."""

    name: str
    metric: Metric
    device: NotRequired[str]
    table: NotRequired[str]
    min_us: NotRequired[float]
    max_us: NotRequired[float]
    min_uj: NotRequired[float]
    max_uj: NotRequired[float]
    min_bytes: NotRequired[float]
    max_bytes: NotRequired[float]
    min_macs: NotRequired[float]
    max_macs: NotRequired[float]


class Predicted(TypedDict):
    """Total of one constraint for one architecture, and the most that was asked for."""

    name: str
    metric: Metric
    device: NotRequired[str]
    predicted_us: NotRequired[float]
    max_us: NotRequired[float]
    predicted_uj: NotRequired[float]
    max_uj: NotRequired[float]
    predicted_bytes: NotRequired[float]
    max_bytes: NotRequired[float]
    predicted_macs: NotRequired[float]
    max_macs: NotRequired[float]


class Validation(TypedDict):
    """What the service says of a job before anything is spent."""

    valid: bool
    errors: list[FieldError]
    reachable: list[Reachable]
    architectures: int | None
    forecast: Forecast | None
