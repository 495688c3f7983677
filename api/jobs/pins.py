"""What a job was fixed to at submission: its spec, space, tables by hash and correction, data by hash, and threads.

Errors:
    PinBroken (Exception)   the database holds something else than the job was submitted with
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.datasets.models import Dataset
from api.jobs.document import Limits
from api.jobs.models import SearchJob
from api.tables.rows import load_table
from latency.correction import Correction, corrected
from latency.table import LatencyTable
from search.space import Space
from search.spec import SearchSpec


class PinBroken(Exception):
    """The database holds something else than the job was submitted with."""


class PinnedFile(NamedTuple):
    """A file of the store that a job reads: where it is, and what it was when it came."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Where the data of a job is: a file, or None for the built-in set `name`."""

    name: str
    content_hash: str
    file: PinnedFile | None


class PinnedTable(NamedTuple):
    """What a table was fixed to: its hash as it was uploaded, and what corrects its predictions since."""

    id: str
    content_hash: str
    correction: Correction | None


@dataclass(frozen=True, slots=True)
class JobInputs:
    """All that a worker needs to run a job. `tables`, corrected, and `pinned_tables` by the number of the constraint
    that names a device. `extended` are the weights of a derived network that is trained on, where nothing is searched.
    """

    spec: SearchSpec
    space: Space
    tables: dict[int, LatencyTable]
    pinned_tables: dict[int, PinnedTable]
    dataset: DatasetSource
    threads: int
    pretrained: PinnedFile | None = None
    extended: PinnedFile | None = None
    limits: Limits = field(default_factory=Limits)
    forecast: dict[str, Any] | None = None


def load(session: Session, job_id: str) -> JobInputs:
    """The inputs of a job; raises PinBroken, LookupError for an unknown job."""
    job = session.get(SearchJob, job_id)
    if job is None:
        raise LookupError(f"there is no job {job_id}")
    return JobInputs(
        spec=SearchSpec.model_validate(job.spec),
        space=Space.model_validate(job.space),
        tables=_tables(session, job.pins["tables"]),
        pinned_tables={
            pin["constraint"]: PinnedTable(pin["table"], pin["content_hash"], _correction(pin))
            for pin in job.pins["tables"]
        },
        dataset=_dataset(session, job),
        threads=job.pins["threads"],
        pretrained=_weights(session, job, "pretrained"),
        extended=_weights(session, job, "weights"),
        limits=Limits.model_validate(job.limits),
        forecast=job.forecast,
    )


def _tables(session: Session, pins: list[dict[str, Any]]) -> dict[int, LatencyTable]:
    loaded = {pin["table"]: load_table(session, pin["table"]) for pin in pins}
    for pin in pins:
        if loaded[pin["table"]].content_hash != pin["content_hash"]:
            raise PinBroken(f"table {pin['table']} is not the one the job was submitted with")
    return {pin["constraint"]: corrected(loaded[pin["table"]], _correction(pin)) for pin in pins}


def _correction(pin: dict[str, Any]) -> Correction | None:
    """That of the table when the job was submitted: networks measured since change nothing for it."""
    found = pin.get("correction")
    return None if found is None else Correction(**found)


def _weights(session: Session, job: SearchJob, pin: str) -> PinnedFile | None:
    artifact_id = job.pins.get(pin)
    if artifact_id is None:
        return None
    artifact = session.get_one(Artifact, artifact_id)
    return PinnedFile(artifact.path, artifact.sha256)


def _dataset(session: Session, job: SearchJob) -> DatasetSource:
    name, content_hash, dataset_id = job.spec["dataset"], job.pins["dataset_hash"], job.pins["dataset_id"]
    if dataset_id is None:
        return DatasetSource(name, content_hash, None)
    dataset = session.get_one(Dataset, dataset_id)
    artifact = session.get_one(Artifact, dataset.artifact_id)
    return DatasetSource(name, content_hash, PinnedFile(artifact.path, artifact.sha256))
