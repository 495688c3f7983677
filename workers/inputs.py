"""From a job's pins to what the engine takes: data in memory and budgets.

Errors:
    DataChanged (Exception)      the data set is not the one the job was submitted with
    WeightsChanged (Exception)   the weights to start from are not those the job was submitted with
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from torch import Tensor

import search.comparison
import search.extension
import search.run
from api.artifacts.store import ArtifactStore
from api.jobs.lease import KeptCheckpoint
from api.jobs.pins import JobInputs, PinnedFile
from api.settings import Settings
from search import state
from search.budgets import budgets_of
from search.datasets import BUILT_IN, ImageData
from search.datasets import load as load_built_in
from search.datasets.data import load_npz
from search.derive import Budget
from search.extension import ExtensionRun
from search.measuring import Measure
from search.run import SearchRun
from search.state import State, StateError
from search.supernet.pretrained import read_pretrained

_logger = logging.getLogger(__name__)


class WeightsChanged(Exception):
    """The weights to start from are not those the job was submitted with."""


class DataChanged(Exception):
    """The data set is not the one the job was submitted with."""


def load_data(inputs: JobInputs, settings: Settings, store: ArtifactStore) -> ImageData:
    """The job's data set. Raises DataChanged, search.datasets.DatasetError, DatasetOutOfReach."""
    pinned = inputs.dataset
    if pinned.file is not None:
        with _unchanged(pinned.file, store, DataChanged) as file:
            return load_npz(pinned.name, file, inputs.space.classes)
    if BUILT_IN[pinned.name].content_hash != pinned.content_hash:
        raise DataChanged(f"{pinned.name} of this worker is not the one the job was submitted with: update the worker")
    return load_built_in(pinned.name, folder=settings.data_dir, say=_logger.info, source=settings.fashion_mnist)


def age_of(kept: State) -> Literal["older", "today's", "newer"]:
    """Of which version the form is that a run's `state_dict()` was written in. Where it is of another, the job's pins
    still make the same run.
    """
    form = search.extension.FORMAT if kept.get("phase") == "extension" else search.run.FORMAT
    ours, theirs = [form], [kept.get("format", 0)]
    if (comparison := kept.get("comparison")) is not None:
        ours, theirs = [*ours, search.comparison.FORMAT], [*theirs, comparison.get("format", 0)]
    if ours == theirs:
        return "today's"
    return "newer" if theirs > ours else "older"


def make_run(
    inputs: JobInputs, data: ImageData, store: ArtifactStore, measure: Measure | None = None
) -> SearchRun | ExtensionRun:
    """What the job does, at its first step. Raises WeightsChanged, PretrainedMisfit, WeightsMisfit, MisfitError,
    Unreachable.
    """
    spec, space, held = inputs.spec, inputs.space, budgets(inputs)
    if inputs.extended is not None:
        with _unchanged(inputs.extended, store, WeightsChanged) as path:
            return ExtensionRun(spec, space=space, data=data, budgets=held, weights=path)
    weights = load_weights(inputs, store)
    return SearchRun(spec, space=space, data=data, budgets=held, measure=measure, pretrained=weights)


def load_weights(inputs: JobInputs, store: ArtifactStore) -> dict[str, Tensor] | None:
    """The weights that the search starts from, where it does. Raises WeightsChanged, PretrainedMisfit."""
    if inputs.pretrained is None:
        return None
    with _unchanged(inputs.pretrained, store, WeightsChanged) as path:
        return read_pretrained(path)


@contextmanager
def _unchanged(pinned: PinnedFile, store: ArtifactStore, changed: type[Exception]) -> Iterator[Path]:
    """The file, as it was when the job was submitted; raises `changed`."""
    with store.local(pinned.path) as path:
        if _sha256(path) != pinned.sha256:
            raise changed(f"{pinned.path} is not the file that the job was submitted with: restore it")
        yield path


def load_checkpoint(kept: KeptCheckpoint, store: ArtifactStore) -> State:
    """What a job goes on from. Raises StateError where the file is not what was kept, StoreError where it is gone."""
    with store.local(kept.path) as path:
        if _sha256(path) != kept.sha256:
            raise StateError(f"{kept.path} is not the file that was kept")
        return state.load(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def budgets(inputs: JobInputs) -> tuple[Budget, ...]:
    """One a constraint, in their order."""
    return budgets_of(inputs.space, inputs.spec.constraints, inputs.tables)
