"""Data sets that are hostile or broken: refused by name, and nothing of them is kept."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.making import X, Y, a_zip, an_npz
from tests.api.uploading import GOOD, a_picture, a_tar, converted, pickled, refused, renamed


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


def moved(files: dict[str, bytes]) -> bytes:
    """A zip whose directory is told to begin after itself, so that its first member begins before the file."""
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


@pytest.mark.parametrize("files", [GOOD, {"x.npy": b"", "y.npy": b""}])
def test_a_directory_of_a_zip_that_is_too_long_is_not_read(tmp_path: Path, files: dict[str, bytes]) -> None:
    body, longer = a_zip(files), 65 << 20
    (size,) = struct.unpack_from("<I", body, len(body) - 10)
    end = bytearray(body[-22:])
    struct.pack_into("<I", end, 12, size + longer)
    (wrong,) = refused(body[:-22] + b"\0" * longer + end, tmp_path).errors
    assert f"has a directory of {size + longer} bytes" in wrong.detail


def test_folders_of_a_tar_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.datasets.pictures._MAX_HEADERS", 8)
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for number in range(9):
            folder = tarfile.TarInfo(f"folder-{number}")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    assert "more folders" in refused(body.getvalue(), tmp_path).errors[0].detail


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_named_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    body, field = HOSTILE[name]
    assert refused(body, tmp_path).errors[0].field == field


@pytest.mark.parametrize("packed", [a_zip, a_tar])
def test_a_jpeg_of_very_many_scans_is_refused_and_a_progressive_one_taken(
    tmp_path: Path, packed: Callable[[dict[str, bytes]], bytes]
) -> None:
    plain = a_picture((64, 64), mode="RGB", kind="JPEG", progressive=True)
    last = plain.rindex(b"\xff\xda")
    many = plain[:last] + plain[last:-2] * 200 + plain[-2:]
    files = {f"{label}/{number}.jpg": plain for label in "ab" for number in range(3)}
    wrong = refused(packed({**files, "b/3.jpg": many}), tmp_path).errors[0]
    assert converted(packed(files), tmp_path)[0].shape == (3, 64, 64)
    assert wrong.field == "b/3.jpg"
    assert "scans, each a pass over all pixels" in wrong.detail


def test_a_name_in_a_tar_that_is_no_utf_8_is_told_with_its_file(tmp_path: Path) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        for name in ("a/0.png", "café/0.png"):
            info, content = tarfile.TarInfo(name), a_picture()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    wrong = refused(body.getvalue(), tmp_path).errors[0]
    assert (wrong.field, "is no UTF-8" in wrong.detail) == (r"'caf\udce9/0.png'", True)


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
