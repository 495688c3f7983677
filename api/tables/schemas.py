"""Latency tables as the API shows them. How they are written is `latency.formats`."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from latency.operator import Kind
from latency.table import Provenance

# Measured, of a whole network. Bounded, so that errors relative to it stay numbers.
Microseconds = Annotated[float, Field(ge=1e-3, le=1e12, allow_inf_nan=False)]


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


class TrustView(BaseModel):
    """Relative errors of prediction: mean (`mape`), 90th percentile, worst; Spearman's rank correlation, null where
    there is nothing to rank.
    """

    networks: int
    mape: float
    p90: float
    worst: float
    spearman: float | None


class CorrectionView(BaseModel):
    """measured = offset + scale * sum of the rows."""

    offset_us: float
    scale: float


class CalibrationView(BaseModel):
    """How far a table can be trusted: `trust` by its rows as uploaded. Where a correction helps on networks that it was
    not fitted on, `corrected` tells how much, and `correction` is what predictions go by from then on.
    """

    trust: TrustView
    corrected: TrustView | None = None
    correction: CorrectionView | None = None


class TableView(BaseModel):
    """A table of a device. `warnings` is there only in the answer to an upload, `calibration` where whole networks were
    measured.
    """

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
    calibration: CalibrationView | None
    created_at: datetime
    warnings: list[RowWarning] = []


class HeatmapRow(BaseModel):
    """A layer of a space and what its choices take, column by column; null where it has no such choice, or the table no
    row for it.
    """

    layer: int
    shape: str
    latency_us: list[float | None]


class Heatmap(BaseModel):
    """A table over a space: a row a layer, a column a choice."""

    space: str
    columns: list[str]
    layers: list[HeatmapRow]


class CoverageView(BaseModel):
    """Whether a table has all that a space needs."""

    covered: bool
    missing: list[OperatorView]


class ChangedRow(OperatorView):
    """An operator that both tables have, with different latencies. `ratio` is after over before, null before 0."""

    before_us: float
    after_us: float
    ratio: float | None


class DifferenceView(BaseModel):
    """What changes from the table `before` to the table `after`. Lists hold the first 100, the greatest changes first;
    counts tell all.
    """

    before: str
    after: str
    equal: int
    changed_count: int
    added_count: int
    removed_count: int
    changed: list[ChangedRow]
    added: list[OperatorView]
    removed: list[OperatorView]
