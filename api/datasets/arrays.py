"""Data sets that come as .npz: x_train, y_train, x_test, y_test, or x and y. Read piece by piece, without pickle."""

import io
import tempfile
import tokenize
import zipfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from api.datasets.raw import (
    MAX_CLASSES,
    MAX_EXAMPLES,
    DatasetRefused,
    Labels,
    RawDataset,
    RawPictures,
    check_classes,
    split,
    whole,
)
from api.datasets.zips import open_zip

_CHUNK_BYTES = 4 << 20
_MAX_PICTURE_BYTES = 64 << 20  # a piece is one picture at least
_MAX_HEADER_BYTES = 10_000  # numpy takes no more either, once it has read them
_SPLIT, _WHOLE = {"x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"}, {"x.npy", "y.npy"}
_COLOURS = (1, 3, 4)
# What numpy raises of a header, which it takes for a piece of Python.
_NO_HEADER = (ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)


class Header(NamedTuple):
    """What a .npy member says of itself."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"


def read_npz(body: BinaryIO, max_bytes: int) -> RawDataset:
    """The data set in an .npz; raises DatasetRefused. Close what it gives."""
    with whole(".npz"), open_zip(body) as archive:
        return _read(archive, max_bytes)


def _read(archive: zipfile.ZipFile, max_bytes: int) -> RawDataset:
    names = set(archive.namelist())
    if names not in (_SPLIT, _WHOLE):
        found = ", ".join(sorted(names)[:10]) or "nothing"
        raise DatasetRefused("file", f"needs the arrays x_train, y_train, x_test, y_test, or x and y; it holds {found}")
    if sum(member.file_size for member in archive.infolist()) > max_bytes:
        raise DatasetRefused("file", f"is larger than {max_bytes} bytes once unpacked")
    files: list[IO[bytes]] = []
    try:
        if names == _WHOLE:
            pictures = _pictures(archive, "", files)
            dataset = split(pictures, _class_names(pictures.labels))
        else:
            train, test = _pictures(archive, "_train", files), _pictures(archive, "_test", files)
            if train.shape != test.shape:
                raise DatasetRefused("x_test", f"has pictures of {test.shape}, x_train of {train.shape}")
            index = (np.arange(len(train.labels)), np.arange(len(test.labels)))
            dataset = RawDataset(train, test, *index, _class_names(np.concatenate([train.labels, test.labels])))
        check_classes(dataset)
        return dataset
    except BaseException:
        for file in files:
            file.close()
        raise


def _class_names(labels: Labels) -> list[str]:
    most = int(labels.max()) if len(labels) else 0
    if most >= MAX_CLASSES or (len(labels) and labels.min() < 0):
        raise DatasetRefused("y", f"labels lie between {labels.min()} and {most}, not in 0 to {MAX_CLASSES - 1}")
    return [str(number) for number in range(most + 1)]


def _pictures(archive: zipfile.ZipFile, suffix: str, files: list[IO[bytes]]) -> RawPictures:
    labels = _labels(archive, f"y{suffix}")
    name = f"x{suffix}"
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever closes the data set
    files.append(file)
    with archive.open(f"{name}.npy") as member:
        header = _header(member, name)
        if header.shape[:1] != labels.shape:
            raise DatasetRefused(
                name, f"holds {header.shape[0] if header.shape else 0} pictures, y{suffix} {len(labels)} labels"
            )
        shape, last = _layout(header.shape, name)
        if int(np.prod(shape)) * header.dtype.itemsize > _MAX_PICTURE_BYTES:
            told = f"pictures have at most {_MAX_PICTURE_BYTES} bytes, got {shape} of {header.dtype}"
            raise DatasetRefused(name, told)
        for array in _pieces(member, header, name):
            pixels = _pixels(array, name)
            file.write((np.moveaxis(pixels, -1, 1) if last else pixels).tobytes())
    return RawPictures(file, shape, labels)


def _labels(archive: zipfile.ZipFile, name: str) -> Labels:
    with archive.open(f"{name}.npy") as member:
        header = _header(member, name)
        if len(header.shape) != 1 or header.dtype.kind not in "iu":
            raise DatasetRefused(name, f"needs whole numbers of one dimension, got {header.dtype} {header.shape}")
        if header.shape[0] > MAX_EXAMPLES:
            raise DatasetRefused(name, f"has {header.shape[0]} examples, of which {MAX_EXAMPLES} are taken")
        pieces = [piece.astype(np.int64) for piece in _pieces(member, header, name)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _header(member: IO[bytes], name: str) -> Header:
    try:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(_bounded_header(member, name))
    except _NO_HEADER as error:
        raise DatasetRefused(name, f"is no array: {error}") from error
    if dtype.hasobject:
        raise DatasetRefused(name, "holds Python objects (pickle), which are never opened: save plain numbers")
    if fortran_order and len(shape) > 1:
        raise DatasetRefused(name, "is in Fortran order: save np.ascontiguousarray of it")
    if dtype.kind not in "iuf" or any(length < 0 for length in shape):
        raise DatasetRefused(name, f"needs numbers, got {dtype}")
    return Header(shape, dtype)


def _bounded_header(member: IO[bytes], name: str) -> IO[bytes]:
    """The rest of a header that tells its length in four bytes: looked at before so much is read."""
    length = member.read(4)
    if int.from_bytes(length, "little") > _MAX_HEADER_BYTES:
        raise DatasetRefused(name, f"has a header of more than {_MAX_HEADER_BYTES} bytes: save plain numbers")
    return io.BytesIO(length + member.read(int.from_bytes(length, "little")))


def _layout(shape: tuple[int, ...], name: str) -> tuple[tuple[int, int, int], bool]:
    """(channels, height, width), and whether the channels stand last in the file."""
    if len(shape) == 3:
        found, last = (1, shape[1], shape[2]), False
    elif len(shape) == 4 and shape[3] in _COLOURS and shape[1] not in _COLOURS:
        found, last = (shape[3], shape[1], shape[2]), True
    elif len(shape) == 4:
        found, last = (shape[1], shape[2], shape[3]), False
    else:
        raise DatasetRefused(name, f"needs (N, H, W), (N, C, H, W) or (N, H, W, C), got {shape}")
    channels, height, width = found
    if not (1 <= channels <= 64 and 1 <= height <= 4096 and 1 <= width <= 4096):
        raise DatasetRefused(
            name, f"pictures have 1 to 64 channels and sides of 1 to 4096, got {channels}x{height}x{width}"
        )
    return found, last


def _pieces(member: IO[bytes], header: Header, name: str) -> Iterator[npt.NDArray[Any]]:
    """The array in pieces along its first axis."""
    row_bytes = int(np.prod(header.shape[1:], dtype=np.int64)) * header.dtype.itemsize
    at_once = max(1, _CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, header.shape[0], at_once):
        rows = min(at_once, header.shape[0] - start)
        data = member.read(rows * row_bytes)
        if len(data) != rows * row_bytes:
            raise DatasetRefused(name, f"ends after {start} of its {header.shape[0]} rows")
        yield np.frombuffer(data, header.dtype).reshape(rows, *header.shape[1:])


def _pixels(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (low >= 0.0 and high <= 1.0):  # NaN fails both
            raise DatasetRefused(name, f"pixels with a point lie in [0, 1], these between {low} and {high}")
        return np.rint(array * 255.0).astype(np.uint8)
    if low < 0 or high > 255:
        raise DatasetRefused(name, f"whole pixels lie in 0 to 255, these between {low} and {high}")
    return array.astype(np.uint8)
