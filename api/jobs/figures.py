"""What budgets can be as the API shows it: metric and unit are in the names of the fields."""

from typing import Any, Literal

from pydantic import BaseModel

from search.budget import Reach
from search.constraints import UNITS, Constraint, DeviceConstraint


class LatencyRange(BaseModel):
    """Least and greatest predicted latency of a space's architectures by one table."""

    name: str
    metric: Literal["latency"]
    device: str
    table: str
    min_us: float
    max_us: float


class EnergyRange(BaseModel):
    """Least and greatest predicted energy of a call by one table."""

    name: str
    metric: Literal["energy"]
    device: str
    table: str
    min_uj: float
    max_uj: float


class BytesRange(BaseModel):
    """Least and greatest bytes of the weights (`size`), or of the activations alive at once (`memory`)."""

    name: str
    metric: Literal["size", "memory"]
    min_bytes: float
    max_bytes: float


class MacsRange(BaseModel):
    """Least and greatest multiply-adds of a picture."""

    name: str
    metric: Literal["macs"]
    min_macs: float
    max_macs: float


Range = LatencyRange | EnergyRange | BytesRange | MacsRange


def range_row(name: str, constraint: Constraint, table: str | None, reach: Reach) -> dict[str, Any]:
    """A `Range` as JSON; `table` is the id of the one that answers for the constraint's device."""
    unit = UNITS[constraint.metric]
    where = {"device": constraint.device, "table": table} if isinstance(constraint, DeviceConstraint) else {}
    named = {"name": name, "metric": constraint.metric, **where}
    return {**named, f"min_{unit}": reach.least, f"max_{unit}": reach.greatest}
