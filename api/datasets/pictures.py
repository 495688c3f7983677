"""Data sets that come as a folder of images in a zip or tar: SPLIT/CLASS/FILE or CLASS/FILE, SPLIT being train or test.

Nothing is unpacked to a path of the archive's choosing: members are read one by one. Two passes over the archive, one
that looks at each picture's size and one that decodes, so that memory holds a single picture.
"""

import io
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from api.datasets.raw import DatasetRefused, RawDataset, RawPictures, check_classes, split, whole
from api.datasets.zips import open_zip
from search.document import text_fault

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile  # Pillow is loaded when the first picture comes

_SPLITS = ("train", "test")
_MAX_FILES = 500_000
_MAX_FILE_BYTES = 64 << 20
_MAX_SIDE = 4096
_GREY = {"1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N"}
_WIDE = ("I", "F")  # whose greatest value nobody knows
_MAX_HEADER_BYTES = 1 << 20  # of a name, or of what pax knows of a file
_MAX_HEADERS = 4 * _MAX_FILES  # with pax each file has two, and folders count too
_SCAN, _MOST_SCANS = b"\xff\xda", 100  # of a JPEG; progressive ones have some ten
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


class Member(NamedTuple):
    """One file of an archive. `open` is good until the archive moves on."""

    path: str
    size: int
    open: Callable[[], io.BytesIO]


class Seen(NamedTuple):
    """A picture file by its number in the archive."""

    number: int
    width: int
    height: int
    is_grey: bool


class Picture(NamedTuple):
    """Where a file belongs."""

    split: str
    label: str
    path: str
    number: int


def read_archive(body: BinaryIO, max_bytes: int) -> RawDataset:
    """The data set in a zip or tar(.gz) of images; raises DatasetRefused. Close what it gives."""
    with whole("zip or tar of images"):
        return _read(body, max_bytes)


def _read(body: BinaryIO, max_bytes: int) -> RawDataset:
    places, shape = _survey(body, max_bytes)
    unpacked = len(places) * int(np.prod(shape))
    if unpacked > max_bytes:  # a picture of one colour is small in its file alone
        raise DatasetRefused("file", f"has pictures of {unpacked} bytes in all, of which {max_bytes} are taken")
    order = sorted(places)
    labels = sorted({picture.label for picture in order})
    position = {picture.number: index for index, picture in enumerate(order)}
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever closes the data set
    try:
        _decode(body, max_bytes, position, shape, file)
        number = {label: index for index, label in enumerate(labels)}
        pictures = RawPictures(file, shape, np.array([number[p.label] for p in order], np.int64))
        dataset = _dataset(order, pictures, labels)
        check_classes(dataset)
        return dataset
    except BaseException:
        file.close()
        raise


def _dataset(order: list[Picture], pictures: RawPictures, labels: list[str]) -> RawDataset:
    is_test = np.array([picture.split == "test" for picture in order])
    if not is_test.any():
        return split(pictures, labels)
    return RawDataset(pictures, pictures, np.flatnonzero(~is_test), np.flatnonzero(is_test), labels)


def _survey(body: BinaryIO, max_bytes: int) -> tuple[list[Picture], tuple[int, int, int]]:
    seen = dict[str, Seen]()  # of a file that stands twice (tar -r) the last copy, which is what unpacking leaves
    for number, member in enumerate(_members(body, max_bytes)):
        with _image(member) as image:
            if image.mode in _WIDE:
                raise DatasetRefused(
                    member.path, "has pixels of a range that nobody knows: save it as PNG of 8 or 16 bits"
                )
            seen[member.path] = Seen(number, *image.size, image.mode in _GREY)
            _verify(image, member.path)
    if not seen:
        raise DatasetRefused("file", "there is no picture in the archive")
    first, (_, width, height, _) = next(iter(seen.items()))
    for path, found in seen.items():
        if (found.width, found.height) != (width, height):
            size = f"{found.width}x{found.height}"
            raise DatasetRefused(path, f"is {size}, but {first} is {width}x{height}: bring all to one size")
    is_grey = all(found.is_grey for found in seen.values())
    return _places({path: found.number for path, found in seen.items()}), (1 if is_grey else 3, height, width)


def _decode(
    body: BinaryIO, max_bytes: int, position: dict[int, int], shape: tuple[int, int, int], file: IO[bytes]
) -> None:
    picture_bytes = int(np.prod(shape))
    for number, member in enumerate(_members(body, max_bytes)):
        if number not in position:
            continue
        with _image(member) as image:
            try:
                pixels = _pixels(image, "L" if shape[0] == 1 else "RGB")
            except Exception as error:  # as in `_verify`
                raise DatasetRefused(member.path, f"is a broken image: {error}") from error
        planes = pixels[None] if shape[0] == 1 else np.moveaxis(pixels, -1, 0)
        file.seek(position[number] * picture_bytes)
        file.write(planes.tobytes())


def _pixels(image: "Image", mode: str) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, 3). Of 16 bits the upper 8: Pillow would cut all above 255 off."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return grey if mode == "L" else np.repeat(grey[..., None], 3, axis=-1)
    return np.asarray(image.convert(mode), np.uint8)


def _places(number_of: dict[str, int]) -> list[Picture]:
    """Splits and classes from the paths, without folders that all have in common above them."""
    parted = [path.split("/") for path in number_of]
    while min(map(len, parted)) > 2 and len({p[0] for p in parted}) == 1 and parted[0][0] not in _SPLITS:
        parted = [p[1:] for p in parted]
    places = []
    for (path, number), parts in zip(number_of.items(), parted, strict=True):
        if len(parts) == 2:
            places.append(Picture("", parts[0], path, number))
        elif len(parts) == 3 and parts[0] in _SPLITS:
            places.append(Picture(parts[0], parts[1], path, number))
        else:
            raise DatasetRefused(path, "is in no class: name files CLASS/FILE, train/CLASS/FILE or test/CLASS/FILE")
    splits = {picture.split for picture in places}
    if "" in splits and len(splits) > 1:
        raise DatasetRefused("file", "some pictures are in train or test, others in neither")
    return places


@contextmanager
def _image(member: Member) -> Iterator["ImageFile"]:
    from PIL import Image, UnidentifiedImageError

    with member.open() as source, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sides are bounded here, more tightly
        try:
            image = Image.open(source, formats=_FORMATS)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetRefused(member.path, "is not an image: lutnas reads " + ", ".join(_FORMATS)) from error
        with image:
            if max(image.size) > _MAX_SIDE:
                raise DatasetRefused(
                    member.path, f"is {image.size[0]}x{image.size[1]}: sides of at most {_MAX_SIDE} are taken"
                )
            if image.format == "JPEG" and (scans := source.getvalue().count(_SCAN)) > _MOST_SCANS:
                raise DatasetRefused(member.path, f"has {scans} scans, each a pass over all pixels: save it anew")
            yield image


def _verify(image: "ImageFile", path: str) -> None:
    try:
        image.verify()
    except Exception as error:  # each format's reader raises its own
        raise DatasetRefused(path, f"is a broken image: {error}") from error


def _members(body: BinaryIO, max_bytes: int) -> Iterator[Member]:
    """The picture files of the archive, in its order; raises DatasetRefused for what is unsafe or too large."""
    body.seek(0)
    count = total = 0
    for member in _zip_members(body) if zipfile.is_zipfile(body) else _tar_members(body, max_bytes):
        _check_path(member.path)
        count, total = count + 1, total + member.size
        if count > _MAX_FILES:
            raise DatasetRefused("file", f"holds more than {_MAX_FILES} files")
        if member.size > _MAX_FILE_BYTES or total > max_bytes:
            raise DatasetRefused(
                member.path, f"unpacks to too much: {_MAX_FILE_BYTES} bytes a file, {max_bytes} in all"
            )
        if not _is_junk(member.path):
            yield member


def _zip_members(body: BinaryIO) -> Iterator[Member]:
    with open_zip(body) as archive:
        for info in archive.infolist():
            if not info.filename.endswith("/"):  # is_dir() fails on a name of no letter
                yield Member(info.filename, info.file_size, lambda info=info: _zip_file(archive, info))  # type: ignore[misc]


def _zip_file(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BytesIO:
    return io.BytesIO(archive.read(info))  # who seeks in a member, as TIFF's reader does, unpacks it anew each time


def _tar_members(body: BinaryIO, max_bytes: int) -> Iterator[Member]:
    body.seek(0)
    with tarfile.open(fileobj=body, mode="r:*", tarinfo=_headers(max_bytes)) as archive:
        for info in archive:
            if info.isdir():
                _check_path(info.name)
            elif not info.isfile():
                raise DatasetRefused(info.name, "is a link or a device, which an archive of pictures has no use for")
            else:
                yield Member(info.name, info.size, lambda info=info: _tar_file(archive, info))  # type: ignore[misc]
            archive.members = []  # type: ignore[attr-defined]  # it keeps every member it has seen


def _headers(max_bytes: int) -> type[tarfile.TarInfo]:
    """Headers of one archive, looked at before what they announce is read: tarfile reads a long name, all that pax
    knows of a file, or the map of a sparse one, whole into memory. What is beside files counts up to `max_bytes`, too.
    """
    count = size = 0

    class Header(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            nonlocal count, size
            found = super().frombuf(buf, encoding, errors)
            beside = 0 if found.isfile() else found.size
            count, size = count + 1, size + beside
            if found.size < 0 or count > _MAX_HEADERS or beside > _MAX_HEADER_BYTES or size > max_bytes:
                raise DatasetRefused("file", "has more folders, or longer names, than an archive of pictures needs")
            if found.type == tarfile.GNUTYPE_SPARSE:
                found._sparse(found)
            return found

        def _sparse(self, of: tarfile.TarInfo, *_: object) -> None:
            raise DatasetRefused(of.name, "is a sparse file, which an archive of pictures has no use for")

        # tarfile has no other door to those that pax tells of
        _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _sparse

    return Header


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> io.BytesIO:
    file = archive.extractfile(info)
    assert file is not None  # a plain file
    return io.BytesIO(file.read())  # libtiff asks a file for its number, which tarfile's have not


def _check_path(path: str) -> None:
    if (fault := text_fault(path)) is not None:
        raise DatasetRefused(ascii(path), f"has a name that is no UTF-8: {fault}")
    clean = path.removeprefix("./")
    if "\\" in path or path.startswith("/") or ":" in path or "\0" in path or ".." in clean.split("/"):
        raise DatasetRefused(path, "leads out of the archive")


def _is_junk(path: str) -> bool:
    """What desktops leave in folders."""
    return any(
        (part.startswith(".") and part != ".") or part == "__MACOSX" for part in path.split("/")
    ) or path.endswith(("/Thumbs.db", "/desktop.ini"))
