"""Totals of budgets as answers and reports have them: metric and unit are in the names of the fields. Torch-free."""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from search.constraints import UNITS, Constraint, DeviceConstraint


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


Figure = LatencyFigure | EnergyFigure | BytesFigure | MacsFigure


def figure_row(name: str, constraint: Constraint, total: float) -> dict[str, Any]:
    """A `Figure` as JSON."""
    unit = UNITS[constraint.metric]
    where = {"device": constraint.device} if isinstance(constraint, DeviceConstraint) else {}
    named = {"name": name, "metric": constraint.metric, **where}
    return {**named, f"predicted_{unit}": total, f"max_{unit}": constraint.maximum}


class Amounts(NamedTuple):
    """The two amounts of a figure, and their unit."""

    predicted: float
    maximum: float
    unit: str


def amounts(figure: Figure) -> Amounts:
    """What is predicted, and the most that was asked for."""
    unit = UNITS[figure.metric]
    return Amounts(getattr(figure, f"predicted_{unit}"), getattr(figure, f"max_{unit}"), unit)
