"""Latency tables as the API shows them. How they are written is `latency.formats`."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from latency.operator import Kind
from latency.table import Provenance


class OperatorView(BaseModel):
    """The identity of an operator. Shapes are those of the input; 0 stands where a field does not apply."""

    model_config = ConfigDict(from_attributes=True)

    kind: Kind
    h: int
    w: int
    c_in: int
    c_mid: int
    c_out: int
    stride: int
    kernel: int
    groups: int
    weight_bits: int
    activation_bits: int
    sparsity: float
    pattern: str


class RowView(OperatorView):
    """One row of a table: an operator and what it costs, in microseconds and microjoules."""

    latency_us: float
    p10_us: float | None
    p90_us: float | None
    samples: int
    provenance: Provenance
    energy_uj: float | None


class RowWarning(BaseModel):
    """A row that was taken but deserves a second look."""

    row: int | None
    field: str
    detail: str


class TableView(BaseModel):
    """A table of a device. `warnings` is there only in the answer to an upload."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    device: str
    version: int
    content_hash: str
    rows: int
    runtime: str
    runtime_version: str
    threads: int
    batch: int
    measured_at: datetime | None
    note: str
    created_at: datetime
    warnings: list[RowWarning] = []


class CoverageView(BaseModel):
    """Whether a table has all that a space needs."""

    covered: bool
    missing: list[OperatorView]
