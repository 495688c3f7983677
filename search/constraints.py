"""What a job constrains: one document a metric, told apart by `metric`, whose absence means latency. Torch-free."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from search.budget import LEAST_MAXIMUM
from search.document import Document, Name

Format = Literal["auto", "dense", "bitmap", "csr"]


def _not_to_be_divided_by(amount: float) -> float:
    if amount < LEAST_MAXIMUM:
        raise ValueError(f"{amount:g} is too little for anything")
    return amount


Amount = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_not_to_be_divided_by)]
UNITS = {"latency": "us", "energy": "uj", "size": "bytes", "memory": "bytes", "macs": "macs"}
METRICS = tuple(UNITS)


class LatencyConstraint(Document):
    """The predicted latency on `device` is at most `max_us`. `table` where the device has more than one."""

    metric: Literal["latency"] = "latency"
    device: Name
    table: str | None = None
    max_us: Amount

    @property
    def maximum(self) -> float:
        """The maximum in the metric's unit."""
        return self.max_us


class EnergyConstraint(Document):
    """The predicted energy of one call on `device` is at most `max_uj`; the table needs a value in every row."""

    metric: Literal["energy"]
    device: Name
    table: str | None = None
    max_uj: Amount

    @property
    def maximum(self) -> float:
        """The maximum in the metric's unit."""
        return self.max_uj


class SizeConstraint(Document):
    """The weights take at most `max_bytes`. `format` is how those with zeros are stored; `auto` takes the least."""

    metric: Literal["size"]
    max_bytes: Amount
    format: Format = "auto"

    @property
    def maximum(self) -> float:
        """The maximum in the metric's unit."""
        return self.max_bytes


class MemoryConstraint(Document):
    """The activations alive at once take at most `max_bytes`, at batch 1."""

    metric: Literal["memory"]
    max_bytes: Amount

    @property
    def maximum(self) -> float:
        """The maximum in the metric's unit."""
        return self.max_bytes


class MacsConstraint(Document):
    """One picture takes at most `max` multiply-adds, groups counted, zeros not left out."""

    metric: Literal["macs"]
    max: Amount

    @property
    def maximum(self) -> float:
        """The maximum in the metric's unit."""
        return self.max


DeviceConstraint = LatencyConstraint | EnergyConstraint


def _metric(constraint: Any) -> Any:
    if isinstance(constraint, dict):
        return constraint.get("metric", "latency")
    return getattr(constraint, "metric", None)


Constraint = Annotated[
    Annotated[LatencyConstraint, Tag("latency")]
    | Annotated[EnergyConstraint, Tag("energy")]
    | Annotated[SizeConstraint, Tag("size")]
    | Annotated[MemoryConstraint, Tag("memory")]
    | Annotated[MacsConstraint, Tag("macs")],
    Discriminator(
        _metric,
        custom_error_type="unknown_metric",
        custom_error_message=f"its metric is none of {', '.join(METRICS)}",
    ),
]


def _some(constraints: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    if not constraints:
        raise ValueError("name one at least")
    return constraints


# By `min_length` a list whose constraints are all wrong would be told to be empty as well.
Constraints = Annotated[
    tuple[Constraint, ...], Field(max_length=16, json_schema_extra={"minItems": 1}), AfterValidator(_some)
]


def field_of(constraint: Constraint) -> str:
    """The field that holds the maximum: `max_us`, `max_bytes`, `max`."""
    return "max" if constraint.metric == "macs" else f"max_{UNITS[constraint.metric]}"


def names_of(constraints: tuple[Constraint, ...]) -> tuple[str, ...]:
    """A name for each: a latency is named by its device, an energy so too (`pi4 energy`), the others by their metric.
    Where two would share a name, table, format or number tell them apart.
    """
    plain = [_plain_name(constraint) for constraint in constraints]
    names = list[str]()
    for number, (name, constraint) in enumerate(zip(plain, constraints, strict=True)):
        if plain.count(name) > 1:
            apart = getattr(constraint, "table", None) or getattr(constraint, "format", None) or number
            name = f"{name} ({apart})"
        names.append(name if name not in names else f"{name} ({number})")
    return tuple(names)


def _plain_name(constraint: Constraint) -> str:
    if isinstance(constraint, LatencyConstraint):
        return constraint.device
    return f"{constraint.device} energy" if isinstance(constraint, EnergyConstraint) else constraint.metric
