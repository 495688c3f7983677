"""From a job's pins to what the engine takes: data in memory and budgets.

Errors:
    DataChanged (Exception)      the data set is not the one the job was submitted with
    WeightsChanged (Exception)   the weights to start from are not those the job was submitted with
"""

import hashlib
import logging

from torch import Tensor

from api.artifacts.store import ArtifactStore
from api.jobs.pins import JobInputs
from api.settings import Settings
from search.budgets import budgets_of
from search.datasets import BUILT_IN, ImageData
from search.datasets import load as load_built_in
from search.datasets.data import load_npz
from search.derive import Budget
from search.supernet.pretrained import read_pretrained

_logger = logging.getLogger(__name__)


class WeightsChanged(Exception):
    """The weights to start from are not those the job was submitted with."""


class DataChanged(Exception):
    """The data set is not the one the job was submitted with."""


def load_data(inputs: JobInputs, settings: Settings, store: ArtifactStore) -> ImageData:
    """The job's data set. Raises DataChanged, search.datasets.DatasetError, DatasetOutOfReach."""
    pinned = inputs.dataset
    if pinned.artifact_path is not None:
        with store.local(pinned.artifact_path) as file:
            return load_npz(pinned.name, file, inputs.space.classes)
    if BUILT_IN[pinned.name].content_hash != pinned.content_hash:
        raise DataChanged(f"{pinned.name} of this worker is not the one the job was submitted with: update the worker")
    return load_built_in(pinned.name, folder=settings.data_dir, say=_logger.info, source=settings.fashion_mnist)


def load_weights(inputs: JobInputs, store: ArtifactStore) -> dict[str, Tensor] | None:
    """The weights that the search starts from, where it does. Raises WeightsChanged, PretrainedMisfit."""
    if inputs.pretrained is None:
        return None
    place = inputs.pretrained.artifact_path
    with store.local(place) as path:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != inputs.pretrained.sha256:
                raise WeightsChanged(f"{place} is not the file that the job was submitted with: restore it")
        return read_pretrained(path)


def budgets(inputs: JobInputs) -> tuple[Budget, ...]:
    """One a constraint, in their order."""
    return budgets_of(inputs.space, inputs.spec.constraints, inputs.tables)
