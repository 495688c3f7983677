"""Data sets that people bring, harmless and hostile. One store is enough where the database is not asked."""

import io
import struct
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
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
from api.datasets.raw import DatasetRefused
from api.datasets.service import Converted, convert, create
from api.db.session import Database
from api.settings import Settings
from search.datasets.data import load_npz
from tests.api.making import X, Y, a_zip, an_npz, row_counts


def converted(body: bytes, folder: Path, max_bytes: int = 1 << 24) -> tuple[Converted, Any]:
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.seek(0)
        found = convert(file, ArtifactStore(folder), max_bytes=max_bytes)
    path = folder / found.file.path_in_store
    return found, load_npz("own", path, classes=len(found.class_names))


def refused(body: bytes, folder: Path, max_bytes: int = 1 << 24) -> DatasetRefused:
    with pytest.raises(DatasetRefused) as caught:
        converted(body, folder, max_bytes)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    return caught.value


def a_picture(size: tuple[int, int] = (5, 6), mode: str = "L", kind: str = "PNG", level: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level, 0, 0)).save(file, kind)
    return file.getvalue()


def a_tar(members: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return body.getvalue()


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
    """An archive of `files` one behind the other, whichever stand twice."""
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


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([print, X], object), y=Y)
    return file.getvalue()


def lying_npz(shape: tuple[int, ...], data: bytes) -> bytes:
    """An .npz whose header promises `shape`."""
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    labels = io.BytesIO()
    np.save(labels, Y)
    return a_zip({"x.npy": header.getvalue() + data, "y.npy": labels.getvalue()})


def npz_of_header(text: str) -> bytes:
    """An .npz whose header is `text`."""
    head = text.encode("latin-1")
    return a_zip(dict.fromkeys(["x.npy", "y.npy"], b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head))


def renamed(files: dict[str, bytes], name: bytes, places: int = 2) -> bytes:
    """A zip in which é is `name`, and a flag says UTF-8: in the member's own header, and in the directory too."""
    return a_zip(files).replace("é".encode(), name, places)


def moved(files: dict[str, bytes]) -> bytes:
    """A zip whose directory is told to begin behind itself, so that its first member begins before the file."""
    body = bytearray(a_zip(files))
    (begins,) = struct.unpack_from("<I", body, len(body) - 6)
    struct.pack_into("<I", body, len(body) - 6, begins + 1000)
    return bytes(body)


def huge_png() -> bytes:
    """A picture of 60000x60000 in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def long_npz_header() -> bytes:
    """An .npz whose header says that it has 64 MiB, in its second version."""
    head = b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 26)
    return a_zip(dict.fromkeys(["x.npy", "y.npy"], head + b" " * (1 << 16)))


def a_tar_with(**fields: Any) -> bytes:
    """A tar of one file whose header has these fields."""
    body, info = io.BytesIO(), tarfile.TarInfo("a/0.png")
    for name, value in fields.items():
        setattr(info, name, value)
    form = tarfile.PAX_FORMAT if "pax_headers" in fields else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=body, mode="w", format=form) as archive:
        archive.addfile(info)
    return body.getvalue()


def with_size(tar: bytes, size: int) -> bytes:
    """A tar whose first header tells this size, in 256s."""
    body = bytearray(tar)
    body[124:136] = b"\xff" * 4 + size.to_bytes(8, "big", signed=True)
    body[148:156] = b" " * 8
    body[148:156] = b"%06o\0 " % sum(body[:512])
    return bytes(body)


def of_mode(mode: str, kind: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (5, 6)).save(file, kind)
    return file.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
GOOD = {f"{c}/{n}.png": a_picture() for c in "ab" for n in range(3)}
HOSTILE = {
    "a pickle": (pickled(), "x"),
    "rows that are not there": (lying_npz((20, 6, 5), b"\0" * 10), "x"),
    "more rows than labels": (lying_npz((10**12, 6, 5), b"\0" * 10), "x"),
    "pictures too large": (lying_npz((20, 10**6, 10**6), b"\0" * 10), "x"),
    "labels below 0": (an_npz(x=X, y=Y - 1), "y"),
    "labels beyond sense": (an_npz(x=X, y=Y * 10**12), "y"),
    "a class without pictures": (an_npz(x=X, y=Y * 2), "classes"),
    "one class": (an_npz(x=X, y=Y * 0), "classes"),
    "not a number": (an_npz(x=np.full(X.shape, np.nan), y=Y), "x"),
    "pixels beyond 255": (an_npz(x=X.astype(np.int64) + 300, y=Y), "x"),
    "floats beyond 1": (an_npz(x=X.astype(np.float32), y=Y), "x"),
    "other arrays": (an_npz(x=X, y=Y, z=Y), "file"),
    "a header that is no Python": (npz_of_header("{'a':'''"), "y"),
    "a header of an odd type": (npz_of_header("{'descr': (), 'fortran_order': False, 'shape': (1,)}"), "y"),
    "an array named in no UTF-8": (renamed({"x.npy": b"", "y.npy": b"", "é": b""}, b"\xe9\xe9"), "file"),
    "an array without its suffix": (a_zip({"x.npy": b"", "y": b""}), "file"),
    "a member before the file begins": (moved(GOOD), "file"),
    "a picture without a name": (renamed({**GOOD, "é": a_picture()}, b"\0\0"), ""),
    "a picture named in no UTF-8": (renamed({**GOOD, "a/é.png": a_picture()}, b"\xe9\xe9"), "file"),
    "a picture with another name of its own": (renamed({**GOOD, "a/é.png": a_picture()}, b"\xe9\xe9", 1), "file"),
    "texts": (an_npz(x=np.array(["a"] * 20), y=Y), "x"),
    "nothing": (b"", "file"),
    "noise": (b"noise" * 100, "file"),
    "half a zip": (a_zip(GOOD)[:-30], "file"),
    "half a tar": (a_tar(GOOD)[:-30], "file"),
    "an empty zip": (a_zip({}), "file"),
    "a way out": (a_zip({**GOOD, "../../evil.png": a_picture()}), "../../evil.png"),
    "a way out in a tar": (a_tar({**GOOD, "/etc/evil.png": a_picture()}), "/etc/evil.png"),
    "a link": (a_tar(GOOD, links={"a/link.png": "/etc/passwd"}), "a/link.png"),
    "not an image": (a_zip({**GOOD, "a/4.png": b"GIF no image"}), "a/4.png"),
    "half an image": (a_zip({**GOOD, "a/4.png": a_picture((5, 6))[:-20]}), "a/4.png"),
    "a picture of another size": (a_zip({**GOOD, "a/4.png": a_picture((9, 9))}), "a/4.png"),
    "a picture that unpacks to gigabytes": (a_zip({"a/0.png": huge_png(), "b/0.png": huge_png()}), "a/0.png"),
    "files outside of classes": (a_zip({**GOOD, "c.png": a_picture()}), "c.png"),
}


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        (lying_npz((20, 63, 4096, 4096), b"\0" * 10), "x", "pictures have at most"),
        (long_npz_header(), "y", "has a header of more than 10000 bytes"),
        (a_tar_with(pax_headers={"comment": "x" * (8 << 20)}), "file", "longer names"),
        (a_tar_with(type=tarfile.GNUTYPE_SPARSE), "a/0.png", "is a sparse file"),
        (a_tar_with(pax_headers=SPARSE), "a/0.png", "is a sparse file"),
        (with_size(a_tar_with(type=tarfile.GNUTYPE_LONGNAME), -512), "file", "longer names"),
        (a_zip({**GOOD, "a/4.png": of_mode("F", "TIFF")}), "a/4.png", "has pixels of a range that nobody knows"),
        (a_zip({**GOOD, "a/4.png": of_mode("I;16", "PPM")}), "a/4.png", "has pixels of a range that nobody knows"),
    ],
)
def test_what_would_be_read_whole_or_cut_is_refused_before(tmp_path: Path, body: bytes, field: str, why: str) -> None:
    (wrong,) = refused(body, tmp_path).errors
    assert why in wrong.detail
    assert wrong.field == field


def test_folders_of_a_tar_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.datasets.pictures._MAX_HEADERS", 8)
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for number in range(9):
            folder = tarfile.TarInfo(f"folder-{number}")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    assert "more folders" in refused(body.getvalue(), tmp_path).errors[0].detail


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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_named_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    body, field = HOSTILE[name]
    assert refused(body, tmp_path).errors[0].field == field


def test_an_archive_may_not_unpack_to_more_than_allowed(tmp_path: Path) -> None:
    bomb = a_zip({"x.npy": b"\0" * (1 << 24), "y.npy": b""})
    assert len(bomb) < 1 << 16
    assert refused(bomb, tmp_path, max_bytes=1 << 20).errors[0].field == "file"
    pictures = a_zip({"a/0.png": b"\0" * (1 << 22), "b/0.png": b""})
    assert refused(pictures, tmp_path, max_bytes=1 << 20).errors[0].field == "a/0.png"
    packed = a_tar({"a/0.png": b"\0" * (1 << 22)})
    assert refused(packed, tmp_path, max_bytes=1 << 20).errors[0].field == "a/0.png"


def test_a_member_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    body = bytearray(a_zip({"a/0.png": b"\0" * 5000, "b/0.png": a_picture()}))
    with zipfile.ZipFile(io.BytesIO(bytes(body))) as archive:
        start = archive.start_dir
    body[start + 24 : start + 28] = struct.pack("<I", 10)  # the directory's size of the first member
    assert refused(bytes(body), tmp_path).errors[0].field in ("file", "a/0.png")


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


def test_pictures_that_are_small_in_their_files_alone_are_refused(tmp_path: Path) -> None:
    """Sixteen of one colour: some hundred bytes each as PNG, a megabyte each once unpacked."""
    files = {f"{n % 2}/{n}.png": a_picture((1024, 1024)) for n in range(16)}
    assert sum(map(len, files.values())) < 1 << 20
    assert "16777216 bytes in all" in refused(a_zip(files), tmp_path, max_bytes=1 << 23).detail


def test_more_labels_than_memory_should_hold_are_refused_by_their_header(tmp_path: Path) -> None:
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (4_000_000_000,)}
    np.lib.format.write_array_header_1_0(header, shape)
    body = a_zip({"x.npy": header.getvalue(), "y.npy": header.getvalue()})
    assert "4000000000 examples" in refused(body, tmp_path).detail


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
