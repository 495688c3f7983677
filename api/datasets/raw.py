"""Pictures on their way from an upload to the canonical file: raw bytes in a temporary file, never all in memory.

Errors:
    DatasetRefused (DomainError)   422  invalid-dataset: names the array or the file
"""

import errno
import hashlib
import io
import itertools
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from api.errors import DomainError, FieldProblem

_CHUNK_BYTES = 4 << 20
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    ValueError,  # a name that is not the UTF-8 of its flag, a member before the file begins
)  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)
MAX_CLASSES = 100_000
MAX_EXAMPLES = 20_000_000  # labels are held in memory, 8 bytes each

Labels = npt.NDArray[np.int64]


class DatasetRefused(DomainError):
    """The upload is no data set, or not a safe one."""

    status = 422
    slug = "invalid-dataset"
    title = "Invalid data set"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"Nothing was stored: {field}: {detail}.", errors=[FieldProblem(field, detail)])


@contextmanager
def whole(kind: str) -> Iterator[None]:
    """Refuses the file as no whole `kind` for what readers of archives raise of a broken one."""
    try:
        yield
    except _BROKEN as error:
        raise DatasetRefused("file", f"is no whole {kind}: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the disk's; of an archive it is a member before the file begins
            raise
        raise DatasetRefused("file", f"is no whole {kind}: {error}") from error


@dataclass(frozen=True, slots=True)
class RawPictures:
    """`file` holds uint8 (N, *shape), one after another; `shape` is (channels, height, width), labels int64 (N,)."""

    file: IO[bytes]
    shape: tuple[int, int, int]
    labels: Labels

    def chunks(self, chosen: Labels) -> Iterator[bytes]:
        """The bytes of the pictures `chosen`, some at a time."""
        size = int(np.prod(self.shape))
        at_once = max(1, _CHUNK_BYTES // size)
        for start in range(0, len(chosen), at_once):
            piece = bytearray()
            for index in chosen[start : start + at_once]:
                self.file.seek(int(index) * size)
                piece += self.file.read(size)
            yield bytes(piece)


@dataclass(frozen=True, slots=True)
class RawDataset:
    """Pictures for training and testing; both may be the same file with other indices."""

    train: RawPictures
    test: RawPictures
    train_index: Labels
    test_index: Labels
    class_names: list[str]

    @property
    def train_labels(self) -> Labels:
        """int64 (N,)."""
        return self.train.labels[self.train_index]

    @property
    def test_labels(self) -> Labels:
        """int64 (N,)."""
        return self.test.labels[self.test_index]

    def close(self) -> None:
        """Drops the pictures."""
        self.train.file.close()
        self.test.file.close()


def split(pictures: RawPictures, class_names: list[str]) -> RawDataset:
    """Takes every fifth picture, in the order of a fixed hash of its index, for testing."""
    count = len(pictures.labels)
    with np.errstate(over="ignore"):
        mixed = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed, kind="stable")
    is_test = np.zeros(count, bool)
    is_test[order[::5]] = True
    return RawDataset(pictures, pictures, np.flatnonzero(~is_test), np.flatnonzero(is_test), class_names)


def check_classes(dataset: RawDataset) -> None:
    """Every class needs a picture to train on, and no label may lie outside; raises DatasetRefused."""
    count = len(dataset.class_names)
    if not 2 <= count <= MAX_CLASSES:
        raise DatasetRefused("classes", f"a data set has 2 to {MAX_CLASSES} classes, this one {count}")
    for name, labels in (("train", dataset.train_labels), ("test", dataset.test_labels)):
        if not len(labels):
            raise DatasetRefused(name, "there is no picture in it")
        if labels.min() < 0 or labels.max() >= count:
            raise DatasetRefused(
                f"y_{name}", f"labels lie between {labels.min()} and {labels.max()}, not in 0 to {count - 1}"
            )
    seen = np.bincount(dataset.train_labels, minlength=count)
    if (seen == 0).any():
        lacking = dataset.class_names[int(np.argmin(seen))]
        raise DatasetRefused(
            "classes", f"no picture to train on is of class {lacking!r}: classes count from 0 without gaps"
        )


def write_canonical(dataset: RawDataset, file: IO[bytes]) -> str:
    """Writes the one .npz form: uint8 x (N, C, H, W) and int64 y, stored flat, without dates.

    Gives its content hash.
    """
    digest = hashlib.sha256()
    parts = (
        ("train", dataset.train, dataset.train_index, dataset.train_labels),
        ("test", dataset.test, dataset.test_index, dataset.test_labels),
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, pictures, index, labels in parts:
            images = _npy_header((len(index), *pictures.shape), np.dtype(np.uint8))
            for member, header, chunks in (
                (f"x_{name}.npy", images, pictures.chunks(index)),
                (f"y_{name}.npy", _npy_header(labels.shape, labels.dtype), iter([labels.tobytes()])),
            ):
                with archive.open(zipfile.ZipInfo(member, _EPOCH), "w", force_zip64=True) as target:
                    for chunk in itertools.chain([header], chunks):
                        target.write(chunk)
                        digest.update(chunk)
    return digest.hexdigest()


def _npy_header(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> bytes:
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()
