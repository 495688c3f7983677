"""Data sets that people bring. One store is enough where the database is not asked."""

import io
import tarfile
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api.artifacts.models import Artifact
from api.artifacts.store import ArtifactStore
from api.auth.callers import Owner
from api.datasets.models import Dataset
from api.datasets.service import Converted, create
from api.db.session import Database
from api.settings import Settings
from tests.api.making import X, Y, a_zip, an_npz, row_counts
from tests.api.uploading import GOOD, a_picture, a_tar, converted, pickled, renamed
from tests.workers.attempting import small_disk


def test_a_split_npz_is_kept_pixel_by_pixel(tmp_path: Path) -> None:
    found, data = converted(an_npz(x_train=X, y_train=Y, x_test=X[:8], y_test=Y[:8]), tmp_path)
    assert (found.shape, found.train_examples, found.test_examples) == ((1, 6, 5), 20, 8)
    assert (data.x_train[:, 0] == X).all()
    assert (data.y_train == Y).all()
    assert (data.x_test[:, 0] == X[:8]).all()


def test_without_a_split_every_fifth_is_for_testing_and_always_the_same(tmp_path: Path) -> None:
    body = an_npz(x=X, y=Y)
    (first, data), (again, _) = converted(body, tmp_path), converted(body, tmp_path)
    assert (first.train_examples, first.test_examples) == (16, 4)
    assert first.content_hash == again.content_hash
    both = np.concatenate([data.x_train, data.x_test])[:, 0]
    assert sorted(map(bytes, both)) == sorted(map(bytes, X))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (X.astype(np.float32) / 255, X[:, None]),
        (X.astype(np.int64), X[:, None]),
        (np.stack([X] * 3, 1), np.stack([X] * 3, 1)),
        (np.stack([X] * 3, -1), np.stack([X] * 3, 1)),
    ],
)
def test_pixels_may_come_as_floats_or_with_channels_first_or_last(tmp_path: Path, pixels: Any, expected: Any) -> None:
    _, data = converted(an_npz(x_train=pixels, y_train=Y, x_test=pixels, y_test=Y), tmp_path)
    assert (data.x_train == expected).all()


@pytest.mark.parametrize("pack", [a_zip, a_tar])
@pytest.mark.parametrize("above", ["", "flowers/", "./"])
def test_a_folder_of_images_becomes_classes(tmp_path: Path, pack: Any, above: str) -> None:
    files = {f"{above}{c}/{n}.png": a_picture(level=10 * n) for c in ("rose", "tulip") for n in range(10)}
    files[f"{above}.DS_Store"] = b"junk"
    found, data = converted(pack(files), tmp_path)
    assert (found.class_names, found.shape) == (["rose", "tulip"], (1, 6, 5))
    assert (found.train_examples, found.test_examples) == (16, 4)
    assert set(np.unique(np.concatenate([data.x_train, data.x_test]))) == {10 * n for n in range(10)}


@pytest.mark.parametrize("pack", [a_zip, a_tar])
def test_a_compressed_tiff_is_read_from_either_archive(tmp_path: Path, pack: Any) -> None:
    """By libtiff, which reads no file but one that the system has a number for, or memory."""
    files = {f"{c}/{n}.tif": a_picture(level=n, kind="TIFF", compression="tiff_lzw") for c in "ab" for n in range(5)}
    _, data = converted(pack(files), tmp_path)
    assert sorted(np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0]) == sorted([0, 1, 2, 3, 4] * 2)


def test_train_and_test_folders_are_the_split_and_one_colour_picture_makes_all_colour(tmp_path: Path) -> None:
    files = {f"train/{c}/{n}.png": a_picture() for c in "ab" for n in range(3)} | {
        f"test/{c}/0.jpg": a_picture(mode="RGB", kind="JPEG") for c in "ab"
    }
    found, data = converted(a_zip(files), tmp_path)
    assert (found.train_examples, found.test_examples, found.shape) == (6, 2, (3, 6, 5))
    assert data.x_test.shape == (2, 3, 6, 5)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_a_file_that_stands_twice_the_last_copy_counts_once(tmp_path: Path, kind: str) -> None:
    """As where the archive is unpacked, so that pictures of another size and colour may have stood there before."""
    files = [(f"{c}/{n}.png", a_picture(level=10 + n)) for c in "ab" for n in range(5)]
    stale = ("a/0.png", a_picture((9, 9), mode="RGB", level=250))
    found, data = converted(appended([stale, *files, files[3]], kind), tmp_path)
    assert (found.shape, found.train_examples + found.test_examples) == ((1, 6, 5), 10)
    assert sorted(np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0]) == sorted([10, 11, 12, 13, 14] * 2)


def appended(files: list[tuple[str, bytes]], kind: str) -> bytes:
    """An archive of `files` one after another, whichever stand twice."""
    body = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(body, "w") as archive, warnings.catch_warnings(action="ignore"):
            for name, content in files:
                archive.writestr(name, content)
        return body.getvalue()
    with tarfile.open(fileobj=body, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return body.getvalue()


@pytest.mark.parametrize("with_colour", [False, True])
def test_of_16_bits_of_grey_the_upper_8_count(tmp_path: Path, with_colour: bool) -> None:
    levels = np.array([[0, 255, 4369, 65535]] * 4, np.uint16)
    deep = io.BytesIO()
    Image.fromarray(levels).save(deep, "PNG")
    other = a_picture((4, 4), mode="RGB" if with_colour else "L", level=7)
    files = {f"{c}/{n}.png": other for c in "ab" for n in range(4)} | {"a/0.png": deep.getvalue()}
    found, data = converted(a_zip(files), tmp_path)
    assert found.shape == (3 if with_colour else 1, 4, 4)
    pictures = np.concatenate([data.x_train, data.x_test])
    (wide,) = (picture for picture in pictures if picture.max() == 255)
    assert (wide == [0, 0, 17, 255]).all()


def test_a_data_set_is_kept_under_its_name(client: TestClient, database: Database) -> None:
    def bring(name: str, body: bytes) -> Any:
        return client.post("/v1/datasets", data={"name": name}, files={"file": ("data.bin", body)})

    first, again, other = (
        bring("own", an_npz(x=X, y=Y)),
        bring("own", an_npz(x=X, y=Y)),
        bring("own", an_npz(x=~X, y=Y)),
    )
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 409]
    assert first.json() == again.json() == client.get("/v1/datasets/own").json()
    assert first.json()["input"] == {"channels": 1, "height": 6, "width": 5}
    assert [d["name"] for d in client.get("/v1/datasets").json()["items"]] == ["digits", "fashion-mnist", "own"]
    before = row_counts(database)
    odd = renamed({**GOOD, "a/é.png": a_picture()}, b"\xe9\xe9")
    for name, body in (("own2", pickled()), ("o", odd), ("digits", an_npz(x=X, y=Y)), ("NO NAME", an_npz(x=X, y=Y))):
        assert bring(name, body).status_code in (409, 422)
    assert client.post("/v1/datasets", data={"name": "x"}).status_code == 422
    assert client.post("/v1/datasets", json={"name": "x"}).status_code == 422
    assert row_counts(database) == before


def test_a_file_stays_where_the_answer_to_a_commit_was_lost(
    client: TestClient, settings: Settings, database: Database
) -> None:
    """The row may be there, and names the file: only the collector can tell."""

    def break_off(session: Session) -> None:
        is_all = not session.in_nested_transaction()  # a savepoint is committed too
        if is_all and any(isinstance(row, Dataset) for row in session.identity_map.values()):
            raise OperationalError("COMMIT", {}, OSError("the connection was lost"))

    event.listen(Session, "after_commit", break_off)
    try:
        answer = client.post("/v1/datasets", data={"name": "mine"}, files={"file": an_npz(x=X, y=Y)})
    finally:
        event.remove(Session, "after_commit", break_off)
    assert answer.status_code == 503
    with database.read() as session:
        artifact = session.scalars(select(Artifact)).one()
    assert ArtifactStore(settings.artifacts).read(artifact.path)


def test_the_same_data_sent_at_once_is_kept_once_and_counts_once(database: Database, tmp_path: Path) -> None:
    first, second = (converted(an_npz(x=X, y=Y), tmp_path)[0] for _ in range(2))

    def keep(found: Converted) -> bool:
        with database.write() as session:
            return create(session, Owner("main"), "mine", found)[1]

    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            assert create(session, Owner("main"), "mine", first)[1]
            other = pool.submit(keep, second)
            time.sleep(0.5)  # on Postgres it has looked by then, and waits for this one's row; on SQLite to begin
        assert not other.result()
    counts = row_counts(database)
    assert (counts["datasets"], counts["artifacts"]) == (1, 1)


def test_an_upload_without_room_is_told_so_and_leaves_nothing(client: TestClient, settings: Settings) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64), np.uint8)
    sent: dict[str, Any] = {"data": {"name": "large"}, "files": {"file": an_npz(x=noise, y=np.arange(40) % 2)}}
    folder = Path(settings.artifacts)
    folder.mkdir(exist_ok=True)
    asking = TestClient(client.app, headers=client.headers, raise_server_exceptions=False)
    with small_disk(folder) as more_room:
        refused = asking.post("/v1/datasets", **sent)
        assert (refused.status_code, refused.json()["type"]) == (507, "urn:lutnas:problem:store-full")
        assert client.get("/v1/datasets/large").status_code == 404
        assert [file for file in folder.rglob("*") if file.is_file()] == []
        more_room()
        assert client.post("/v1/datasets", **sent).status_code == 201
