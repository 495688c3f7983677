"""Totals of budgets as the API shows them: metric and unit are in the names of the fields."""

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


class LatencyFigure(BaseModel):
    """Predicted latency of an architecture, and the most that was asked for."""

    name: str
    metric: Literal["latency"]
    device: str
    predicted_us: float
    max_us: float


class EnergyFigure(BaseModel):
    """Predicted energy of a call, and the most that was asked for."""

    name: str
    metric: Literal["energy"]
    device: str
    predicted_uj: float
    max_uj: float


class BytesFigure(BaseModel):
    """Bytes of the weights or of the activations, and the most that was asked for."""

    name: str
    metric: Literal["size", "memory"]
    predicted_bytes: float
    max_bytes: float


class MacsFigure(BaseModel):
    """Multiply-adds of a picture, and the most that was asked for."""

    name: str
    metric: Literal["macs"]
    predicted_macs: float
    max_macs: float


Range = LatencyRange | EnergyRange | BytesRange | MacsRange
Figure = LatencyFigure | EnergyFigure | BytesFigure | MacsFigure


def range_row(name: str, constraint: Constraint, table: str | None, reach: Reach) -> dict[str, Any]:
    """A `Range` as JSON; `table` is the id of the one that answers for the constraint's device."""
    unit = UNITS[constraint.metric]
    where = {"device": constraint.device, "table": table} if isinstance(constraint, DeviceConstraint) else {}
    named = {"name": name, "metric": constraint.metric, **where}
    return {**named, f"min_{unit}": reach.least, f"max_{unit}": reach.greatest}


def figure_row(name: str, constraint: Constraint, total: float) -> dict[str, Any]:
    """A `Figure` as JSON."""
    unit = UNITS[constraint.metric]
    where = {"device": constraint.device} if isinstance(constraint, DeviceConstraint) else {}
    named = {"name": name, "metric": constraint.metric, **where}
    return {**named, f"predicted_{unit}": total, f"max_{unit}": constraint.maximum}
