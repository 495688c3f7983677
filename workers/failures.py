"""From an exception of the engine to the problem that a failed job shows."""

from typing import Any

from api.artifacts.store import StoreAway, StoreError
from api.errors import problem
from api.jobs.pins import PinBroken
from search.datasets import DatasetError, DatasetOutOfReach
from search.derive import Unreachable
from search.export import ExportMismatch
from search.extension import WeightsMisfit
from search.measuring import OverBudget
from search.run import MisfitError
from search.state import StateError
from search.supernet.pretrained import PretrainedMisfit
from workers.bounds import MemoryLimit, TimeLimit
from workers.inputs import DataChanged, WeightsChanged
from workers.storing import StoreFull

KNOWN: tuple[tuple[type[Exception], str, str], ...] = (
    (DatasetOutOfReach, "dataset-out-of-reach", "Data set out of reach"),
    (DatasetError, "dataset-invalid", "Data set is not usable"),
    (DataChanged, "dataset-changed", "Data set has changed"),
    (PinBroken, "pin-broken", "The store holds something else than the job was submitted with"),
    (StoreAway, "store-away", "The artifact store does not answer"),
    (StoreError, "artifact-missing", "A file of the artifact store is missing"),
    (StateError, "checkpoint-broken", "The checkpoint cannot be read"),
    (MisfitError, "space-misfit", "Space and data do not fit"),
    (Unreachable, "budget-unreachable", "Unreachable budget"),
    (WeightsChanged, "weights-changed", "Pretrained weights have changed"),
    (PretrainedMisfit, "pretrained-misfit", "Pretrained weights do not fit"),
    (WeightsMisfit, "weights-misfit", "The weights to train on do not fit"),
    (FloatingPointError, "training-diverged", "The training diverged"),
    (ExportMismatch, "export-mismatch", "The exported file differs from the network"),
    (OverBudget, "over-budget-on-device", "Over the budget on the device"),
    (TimeLimit, "time-limit", "The job took longer than it may"),
    (MemoryLimit, "memory-limit", "The job took more memory than it may"),
    (StoreFull, "store-full", "No room for files"),
    (MemoryError, "out-of-memory", "Out of memory"),
)


def problem_of(error: Exception) -> dict[str, Any]:
    """A problem with the error's own words; what nobody foresaw says so, and where to look."""
    for kind, slug, title in KNOWN:
        if isinstance(error, kind):
            return problem(slug=slug, title=title, status=500, detail=str(error) or title)
    detail = (
        f"{type(error).__name__}: {error}. This is a defect of lutnas; `lutnas jobs attempts JOB` has the traceback."
    )
    return problem(slug="internal-error", title="Internal error", status=500, detail=detail)
