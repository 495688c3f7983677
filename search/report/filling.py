"""From what a run found, and where it came from, to its report card. Torch-free."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from latency.correction import Correction
from latency.estimate import parts
from latency.operator import BASE, Operator
from latency.table import PROVENANCES, LatencyTable, Provenance
from search.architecture import Architecture
from search.constraints import names_of
from search.costs import stored_bytes
from search.report.card import (
    Cost,
    Export,
    FileRow,
    FixedRow,
    LayerRow,
    Measured,
    Pins,
    ReportCard,
    StorageRow,
    TableRow,
)
from search.report.compared import ComparedRun
from search.report.comparison import comparison
from search.report.figures import Figure, figure_row
from search.report.metrics import Folded, Metrics, metrics, total
from search.spec import SearchSpec

_FIGURES: TypeAdapter[tuple[Figure, ...]] = TypeAdapter(tuple[Figure, ...])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run found: the network, its weights by block in the order of its operators, what its budgets are predicted
    to take by their names, and what the card says of these (`ReportCard`).
    """

    architecture: Architecture
    folded: Mapping[str, Folded]
    predicted: Mapping[str, float]
    test_accuracy: float
    test_top5: float | None = None
    accuracy_before: float | None = None
    top5_before: float | None = None
    teacher_accuracy: float | None = None
    float_accuracy: float | None = None
    export_difference: float | None = None
    compared: Sequence[ComparedRun] = ()
    measured: Sequence[Measured] = ()
    notes: Sequence[str] = ()


class UsedTable(NamedTuple):
    """A table as predictions were made by it, the hash that it was uploaded with, and what corrected it since."""

    table: LatencyTable
    content_hash: str
    correction: Correction | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an outcome comes from. `tables` by the number of the constraint that names a device; hashes are sha256 in
    hex, `pretrained_hash` of the weights that the search started from.
    """

    job: str
    attempts: int
    made_at: datetime
    spec: SearchSpec
    tables: Mapping[int, UsedTable]
    dataset_hash: str
    environment: Mapping[str, str | int]
    pretrained_hash: str | None = None
    forecast: dict[str, Any] | None = None
    pace: dict[str, Any] | None = None


def report_card(outcome: Outcome, origin: Origin, files: Sequence[FileRow]) -> ReportCard:
    """The card. Raises ValueError where a compared run has no prediction of a budget, MissingOperator where a table
    lacks what the network needs.
    """
    found, spec = outcome, origin.spec
    operators = (BASE, *found.architecture.operators())
    each = [metrics(*pair) for pair in zip(operators, ({}, *found.folded.values()), strict=True)]
    whole = total(each)
    used = [origin.tables[number] for number in sorted(origin.tables)]
    call, stem, *layers, head = _costs(operators, each, used[0].table if used else None)
    numbered = zip(found.architecture.layers, layers, strict=True)
    budgets = names_of(spec.constraints)
    return ReportCard(
        name=spec.name, job=origin.job, attempts=origin.attempts, made_at=origin.made_at,
        test_accuracy=found.test_accuracy, test_top5=found.test_top5,
        accuracy_before=found.accuracy_before, top5_before=found.top5_before,
        teacher_accuracy=found.teacher_accuracy, float_accuracy=found.float_accuracy,
        budgets=_FIGURES.validate_python(
            [figure_row(name, c, found.predicted[name]) for name, c in zip(budgets, spec.constraints, strict=True)]
        ),
        parameters=whole.parameters, nonzeros=whole.nonzeros, compression_ratio=whole.compression_ratio,
        macs=whole.macs, effective_macs=whole.effective_macs, theoretical_speedup=whole.theoretical_speedup,
        size_bytes=math.fsum(map(stored_bytes, operators)),
        layers=tuple(LayerRow(layer=n, **dict(choice), **dict(cost)) for n, (choice, cost) in enumerate(numbered)),
        fixed=(
            FixedRow(part="call", **dict(call)),
            FixedRow(part="stem", **dict(stem)),
            FixedRow(part="head", **dict(head)),
        ),
        storage=_storage(whole), measured=tuple(found.measured),
        comparison=comparison(found.architecture.space, found.compared, budgets),
        notes=tuple(found.notes), export=Export(difference_to_torch=found.export_difference), spec=spec,
        tables=tuple(_table_row(budgets[n], origin.tables[n], operators) for n in sorted(origin.tables)),
        pins=Pins(
            tables=tuple(one.content_hash for one in used),
            dataset=origin.dataset_hash, pretrained=origin.pretrained_hash,
        ),
        environment=dict(origin.environment), files=tuple(files), repeat=(f"lutnas jobs reproduce {origin.job}",),
        forecast=origin.forecast, pace=origin.pace,
    )  # fmt: skip


def _costs(operators: Sequence[Operator], each: Sequence[Metrics], table: LatencyTable | None) -> Iterator[Cost]:
    """Of each operator, the call itself first."""
    found = [] if table is None else list(parts(table, operators))
    whole_us = math.fsum(part.latency_us for part in found)
    for number, (operator, counts) in enumerate(zip(operators, each, strict=True)):
        latency_us = found[number].latency_us if found else None
        yield Cost(
            operator=operator.key,
            macs=counts.macs,
            effective_macs=counts.effective_macs,
            parameters=counts.parameters,
            nonzeros=counts.nonzeros,
            size_bytes=stored_bytes(operator),
            stored_bytes=counts.bits["auto"] / 8,
            latency_us=latency_us,
            latency_share=latency_us / whole_us if latency_us is not None and whole_us else None,
            provenance=_least_trusted(table, found[number].rows) if table is not None else None,
        )


def _least_trusted(table: LatencyTable, rows: Iterable[Operator]) -> Provenance | None:
    """Of the entries of `rows`; None where what is free has none."""
    found = {entry.provenance for row in rows if (entry := table.entries.get(row)) is not None}
    return max(found, key=PROVENANCES.index, default=None)


def _table_row(budget: str, used: UsedTable, operators: Sequence[Operator]) -> TableRow:
    info = used.table.info
    provenance = _least_trusted(used.table, (row for part in parts(used.table, operators) for row in part.rows))
    assert provenance is not None, "a table that predicts has a row for the call"
    correction = used.correction
    return TableRow(
        budget=budget, device=info.device, runtime=info.runtime, runtime_version=info.runtime_version,
        threads=info.threads, batch=info.batch, measured_at=info.measured_at, note=info.note, provenance=provenance,
        correction=None if correction is None else {"offset_us": correction.offset_us, "scale": correction.scale},
        content_hash=used.content_hash,
    )  # fmt: skip


def _storage(whole: Metrics) -> tuple[StorageRow, ...]:
    bits = {"float32": whole.float_bits, **whole.bits}
    return tuple(StorageRow(format=f, bytes=count / 8, share=count / whole.float_bits) for f, count in bits.items())
