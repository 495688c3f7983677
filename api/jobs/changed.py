"""Whether what a job was pinned to is there as it was.

InputsChanged (DomainError)     409  inputs-changed: something is gone, or is something else now
"""

import hashlib
from collections.abc import Iterator

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore, StoreAway, StoreError
from api.datasets.models import Dataset
from api.errors import DomainError, FieldProblem
from api.jobs.models import SearchJob
from api.tables.models import Table
from api.tables.rows import content_hash
from search.datasets.catalog import BUILT_IN
from search.files import WEIGHTS
from search.space import Space
from search.spec import SearchSpec


class InputsChanged(DomainError):
    """What the job was pinned to is gone, or is something else now."""

    status = 409
    slug = "inputs-changed"
    title = "Inputs changed"


def changed(session: Session, store: ArtifactStore, job: SearchJob) -> Iterator[FieldProblem]:
    """All that is not as it was when the job was submitted. Raises StoreAway."""
    for place, model, document in (("spec", SearchSpec, job.spec), ("space", Space, job.space)):
        try:
            model.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            yield FieldProblem(place, f"is of another version of lutnas ({field}: {first['msg']})")
    for pin in job.pins["tables"]:
        place = f"constraints[{pin['constraint']}].table"
        if session.get(Table, pin["table"]) is None:
            yield FieldProblem(place, f"the table {pin['table']} is gone")
        elif content_hash(session, pin["table"]) != pin["content_hash"]:
            yield FieldProblem(place, f"the table {pin['table']} is not what it was: its content hash is another")
    yield from _changed_dataset(session, store, job)
    if job.pins.get("pretrained") is not None:
        yield from changed_file(store, "search.pretrained", session.get(Artifact, job.pins["pretrained"]))
    if job.pins.get("weights") is not None:
        yield from changed_file(store, WEIGHTS, session.get(Artifact, job.pins["weights"]))


def _changed_dataset(session: Session, store: ArtifactStore, job: SearchJob) -> Iterator[FieldProblem]:
    name, pinned_hash, dataset_id = job.spec["dataset"], job.pins["dataset_hash"], job.pins["dataset_id"]
    known = BUILT_IN.get(name) if dataset_id is None else session.get(Dataset, dataset_id)
    if known is None:
        yield FieldProblem("dataset", f"the data set {name} is gone")
    elif known.content_hash != pinned_hash:
        yield FieldProblem("dataset", f"the data set {name} is not what it was: its content hash is another")
    elif isinstance(known, Dataset):
        yield from changed_file(store, "dataset", session.get(Artifact, known.artifact_id))


def changed_file(store: ArtifactStore, place: str, artifact: Artifact | None) -> Iterator[FieldProblem]:
    """What is wrong with one file, under the field `place`. Raises StoreAway."""
    if artifact is None:
        yield FieldProblem(place, "its file is gone")
        return
    try:
        digest = hashlib.sha256()
        for piece in store.open(artifact.path):
            digest.update(piece)
        if digest.hexdigest() != artifact.sha256:
            yield FieldProblem(place, f"the file {artifact.name} is not what it was: restore it")
    except StoreAway:
        raise  # nothing is known of the file
    except StoreError as error:
        yield FieldProblem(place, str(error))
