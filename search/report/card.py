"""The report card of a job: one flat document, written as report.json and shown as report.html. Torch-free."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from latency.table import Provenance
from search.architecture import LayerChoice
from search.document import Document
from search.report.compared import ComparedRun
from search.report.figures import Figure
from search.spec import SearchSpec

Schema = Literal["lutnas/report-card/1"]  # another number where a field goes or changes, not where one is added
NETWORK = "exported network"  # what `Measured.what` calls the network of the card


class Cost(Document):
    """What a part of the network is and takes. `size_bytes` is in closed form, as a constraint of size counts it,
    `stored_bytes` of the trained weights, each in the format that takes least. `latency_us` is by the first of the
    card's tables, with a change of format in front of the part, `latency_share` of the whole network's; both are None
    where no constraint names a device. `provenance` is the least trusted one of the rows of the table it comes from,
    None where it has none, as of an identity.
    """

    operator: str
    macs: int
    effective_macs: int
    parameters: int
    nonzeros: int
    size_bytes: float
    stored_bytes: float
    latency_us: float | None
    latency_share: float | None
    provenance: Provenance | None


class _Layer(Document):
    layer: int


class _Part(Document):
    part: Literal["call", "stem", "head"]


class LayerRow(Cost, LayerChoice, _Layer):
    """What a searchable layer became, and what that takes."""


class FixedRow(Cost, _Part):
    """What is not searched: the call itself, stem and head."""


class StorageRow(Document):
    """All weights in one format where it fits them, dense where not, with biases and scales. `share` is of `float32`:
    every parameter in 32 bits. `auto` takes for each weight what is least.
    """

    format: str
    bytes: float
    share: float


class Measured(Document):
    """What a call took where it was measured: `what` is NETWORK, or something to hold it against."""

    what: str
    latency_us: Annotated[float, Field(gt=0)]
    where: str


class TableRow(Document):
    """A latency table that predicts one budget. `provenance` is the least trusted of the rows that this network needs;
    `correction`, where there is one, is the line that whole networks taught since: offset_us + scale * predicted.
    """

    budget: str
    device: str
    runtime: str
    runtime_version: str
    threads: int
    batch: int
    measured_at: datetime | None
    note: str
    provenance: Provenance
    correction: dict[Literal["offset_us", "scale"], float] | None
    content_hash: str


class Spread(Document):
    """Mean over the seeds, and the sample's standard deviation, which one seed has none of."""

    mean: float
    deviation: float | None


class ComparedRow(Document):
    """One method at one share of the budgets, over its seeds. Accuracies are top-1; counts, of dense weights, and bytes
    are means, as seeds may derive different networks; `predicted` is by the names of the budgets.
    """

    method: str
    share: float
    accuracy: Spread
    accuracy_before: Spread
    top5: Spread | None
    top5_before: Spread | None
    parameters: float
    macs: float
    size_bytes: float
    predicted: dict[str, float]
    runs: tuple[ComparedRun, ...]


class Pins(Document):
    """Hashes of what the job was submitted with: tables in the order of their constraints, the data set, the weights it
    started from.
    """

    tables: tuple[str, ...]
    dataset: str
    pretrained: str | None


class Export(Document):
    """Greatest difference between the logits of onnxruntime and of torch, over the greatest logit."""

    difference_to_torch: float | None


class FileRow(Document):
    """A file that the job left, reports apart."""

    name: str
    bytes: int
    sha256: str


class ReportCard(Document):
    """What a finished job says of itself.

    Accuracies are of the test pictures, `*_before` ahead of the training of the derived network; top-5 ones are None
    where there are no more than five classes. `teacher_accuracy` is of the float twin that taught the network,
    `float_accuracy` of model-float.onnx, each None where there is none. Counts are those of `search.report.metrics`,
    over the whole network. `measured` holds calls that were timed, `comparison` what other methods gave within the same
    budgets.
    """

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Annotated[Schema, Field(alias="schema")] = "lutnas/report-card/1"
    name: str
    job: str
    attempts: int
    made_at: datetime
    test_accuracy: float
    test_top5: float | None
    accuracy_before: float | None
    top5_before: float | None
    teacher_accuracy: float | None = None
    float_accuracy: float | None = None
    budgets: tuple[Figure, ...]
    parameters: int
    nonzeros: int
    compression_ratio: float
    macs: int
    effective_macs: int
    theoretical_speedup: float
    size_bytes: float
    layers: tuple[LayerRow, ...]
    fixed: tuple[FixedRow, ...]
    storage: tuple[StorageRow, ...]
    measured: tuple[Measured, ...]
    comparison: tuple[ComparedRow, ...]
    notes: tuple[str, ...]
    export: Export
    spec: SearchSpec
    tables: tuple[TableRow, ...]
    pins: Pins
    environment: dict[str, str | int]
    files: tuple[FileRow, ...]
    repeat: tuple[str, ...]
    forecast: dict[str, Any] | None
    pace: dict[str, Any] | None

    def text(self) -> str:
        """As JSON."""
        return self.model_dump_json(indent=2) + "\n"
