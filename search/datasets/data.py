"""Labelled pictures in memory, as uint8. Canonical files are `.npz` with x_train, y_train, x_test, y_test; no pickle.

Errors:
    DatasetError (ValueError)   arrays that are no data set; the message names the array
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.datasets.catalog import BUILT_IN, DIGITS_SHA256
from search.datasets.fetch import Say, fashion_mnist
from search.space import Input


class DatasetError(ValueError):
    """Arrays that are no data set."""


@dataclass(frozen=True)
class ImageData:
    """`x_*` uint8 (N, channels, height, width); `y_*` int64 (N,) from 0 to classes - 1."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            if x.dtype != np.uint8 or x.ndim != 4:
                raise DatasetError(f"x_{split}: needs uint8 of 4 dimensions (N, C, H, W), got {x.dtype} {x.shape}")
            if y.dtype != np.int64 or y.shape != (len(x),):
                raise DatasetError(f"y_{split}: needs int64 ({len(x)},), got {y.dtype} {y.shape}")
            if len(y) == 0 or y.min() < 0 or y.max() >= self.classes:
                raise DatasetError(f"y_{split}: needs labels from 0 to {self.classes - 1}, and at least one")
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DatasetError(
                f"x_test: pictures of {self.x_test.shape[1:]}, those of x_train are {self.x_train.shape[1:]}"
            )

    @property
    def input(self) -> Input:
        """Shape of one picture."""
        channels, height, width = self.x_train.shape[1:]
        return Input(channels=channels, height=height, width=width)


def load(name: str, *, folder: Path, say: Say, source: str | None = None) -> ImageData:
    """A built-in data set, fetched into `folder` when needed. Raises DatasetError, DatasetOutOfReach."""
    if name == "fashion-mnist":
        return load_fashion_mnist(fashion_mnist(folder / name, say, source=source))
    if name == "digits":
        return load_digits()
    raise DatasetError(f"{name!r} is none of the built-in data sets {', '.join(BUILT_IN)}")


def load_npz(name: str, path: Path, classes: int) -> ImageData:
    """A data set that was uploaded, in the canonical form."""
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(arrays.files)
        if missing:
            raise DatasetError(f"{', '.join(sorted(missing))}: missing in {path.name}")
        arrays_of = (arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])
    return ImageData(name, *arrays_of, classes)


def load_fashion_mnist(folder: Path) -> ImageData:
    """Reads the four IDX files, whose checksums `fetch` has seen."""
    x_train, x_test = (read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None] for part in ("train", "t10k"))
    y_train, y_test = (read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64) for part in ("train", "t10k"))
    return ImageData("fashion-mnist", x_train, y_train, x_test, y_test, classes=10)


def load_digits() -> ImageData:
    """The 1,797 digits that scikit-learn carries, 16 grey levels spread over 0..255; every fifth is a test picture."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    x, y = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    found = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    if found != DIGITS_SHA256:
        raise DatasetError(f"digits: scikit-learn carries other data than lutnas knows (sha256 {found})")
    x_NCHW = (x.astype(np.uint16) * 255 // 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    test = np.arange(len(x)) % 5 == 4
    return ImageData("digits", x_NCHW[~test], y[~test], x_NCHW[test], y[test], classes=10)


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes (LeCun's format: two zeros, type, dimensions, sizes, values)."""
    with gzip.open(path) as file:
        content = file.read()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DatasetError(f"{path.name}: is no IDX file of unsigned bytes")
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if len(values) != int(np.prod(shape)):
        raise DatasetError(f"{path.name}: holds {len(values)} values, its header promises {int(np.prod(shape))}")
    return values.reshape(shape).copy()  # that of `content` is read-only, and would be copied by whoever trains
