"""Data sets: the built-in ones and people's own, immutable.

Errors:
    DatasetExists (DomainError)    409  dataset-exists
    DatasetUnknown (NotFound)      404  unknown-dataset
    DatasetRefused (DomainError)   422  invalid-dataset, see api.datasets.raw
"""

import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.artifacts import service as artifacts
from api.artifacts.store import ArtifactStore, StoredFile
from api.audit.trail import about
from api.auth.callers import Owner, nearest
from api.datasets.arrays import read_npz
from api.datasets.models import Dataset
from api.datasets.pictures import read_archive
from api.datasets.raw import RawDataset, write_canonical
from api.datasets.schemas import DatasetView
from api.datasets.zips import open_zip
from api.db.session import insert
from api.errors import DomainError, FieldProblem, NotFound
from api.ids import new_id
from api.paging import decode_cursor, encode_cursor
from api.turns import Turns
from search.datasets.catalog import BUILT_IN

_TURNS = Turns("reads data sets", most=4, wait_seconds=30.0)


class DatasetExists(DomainError):
    """The name is taken by other data."""

    status = 409
    slug = "dataset-exists"
    title = "Data set exists"


class DatasetUnknown(NotFound):
    """No data set of that name."""

    slug = "unknown-dataset"
    title = "Unknown data set"


@dataclass(frozen=True, slots=True)
class Converted:
    """A data set in the store that no row names yet."""

    file: StoredFile
    content_hash: str
    shape: tuple[int, int, int]
    class_names: list[str]
    train_examples: int
    test_examples: int


def convert(body: BinaryIO, store: ArtifactStore, *, max_bytes: int) -> Converted:
    """Reads an upload and keeps it in the canonical form; raises DatasetRefused, TooBusy. Needs no database."""
    with _TURNS.taken():
        return _converted(body, store, max_bytes)


def _converted(body: BinaryIO, store: ArtifactStore, max_bytes: int) -> Converted:
    raw = read_npz(body, max_bytes) if _is_npz(body) else read_archive(body, max_bytes)
    try:
        with tempfile.TemporaryFile() as file:
            content_hash = write_canonical(raw, file)
            file.seek(0)
            path = f"datasets/{new_id('dst')}.npz"
            kept = store.put(path, file, media_type="application/x-npz", name="dataset.npz")
        return _described(raw, kept, content_hash)
    finally:
        raw.close()


def create(session: Session, owner: Owner, name: str, converted: Converted) -> tuple[Dataset, bool]:
    """Keeps a data set under `name`.

    The very same data answers again: then the second part is False. Raises DatasetExists.
    """
    channels, height, width = converted.shape
    standing = find(session, owner.alone(), name)
    if standing is None and name not in BUILT_IN:
        artifact = artifacts.record(session, owner.name, converted.file)
        row = Dataset(
            id=new_id("dst"), owner=owner.name, name=name, channels=channels, height=height, width=width,
            classes=len(converted.class_names), class_names=converted.class_names, content_hash=converted.content_hash,
            train_examples=converted.train_examples, test_examples=converted.test_examples,
            artifact_id=artifact.id, created_at=datetime.now(UTC),
        )  # fmt: skip
        if insert(session, row):
            about(session, row.id)
            return row, True
        session.delete(artifact)  # somebody was faster: its file is not kept, and nobody's bytes
        standing = find(session, owner.alone(), name)
    if standing is not None and standing.content_hash == converted.content_hash:
        return standing, False
    wrong = FieldProblem(
        "name", f"{name!r} is the name of another data set: data sets do not change, so take another name"
    )
    raise DatasetExists(f"There is a data set {name!r} already.", errors=[wrong])


def find(session: Session, owner: Owner, name: str) -> Dataset | None:
    """A data set that was brought and that `owner` sees."""
    named = select(Dataset).where(Dataset.owner.in_(owner.visible), Dataset.name == name)
    return next(iter(nearest(owner, session.scalars(named))), None)


def describe(session: Session, owner: Owner, name: str) -> DatasetView | None:
    """A built-in data set, or one that `owner` sees, as the API shows it."""
    if name in BUILT_IN:
        return DatasetView.built_in(BUILT_IN[name])
    row = find(session, owner, name)
    return None if row is None else DatasetView.of(row)


def get(session: Session, owner: Owner, name: str) -> DatasetView:
    """The same; raises DatasetUnknown."""
    found = describe(session, owner, name)
    if found is None:
        raise DatasetUnknown(f"There is no data set {name!r}: `GET /v1/datasets` lists them.")
    return found


def list_page(
    session: Session, owner: Owner, *, cursor: str | None, limit: int
) -> tuple[list[DatasetView], str | None]:
    """Built-in data sets and those that `owner` sees, by name, each name once."""
    after = "" if cursor is None else str(decode_cursor(cursor, str))
    seen = select(Dataset).where(Dataset.owner.in_(owner.visible), Dataset.name > after)
    seen = seen.order_by(Dataset.name).limit((limit + 1) * len(owner.visible))
    views = [DatasetView.built_in(facts) for name, facts in BUILT_IN.items() if name > after]
    views += [DatasetView.of(row) for row in nearest(owner, session.scalars(seen))]
    views.sort(key=lambda view: view.name)
    return views[:limit], encode_cursor(views[limit - 1].name) if len(views) > limit else None


def _is_npz(body: BinaryIO) -> bool:
    """Whether a zip holds arrays rather than pictures."""
    body.seek(0)
    if not zipfile.is_zipfile(body):
        return False
    try:
        with open_zip(body) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False  # whoever reads the pictures says what is wrong


def _described(raw: RawDataset, kept: StoredFile, content_hash: str) -> Converted:
    return Converted(kept, content_hash, raw.train.shape, raw.class_names, len(raw.train_index), len(raw.test_index))
