"""Data sets as people upload them, read by the service without its database."""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.artifacts.store import ArtifactStore
from api.datasets.raw import DatasetRefused
from api.datasets.service import Converted, convert
from search.datasets.data import load_npz
from tests.api.making import X, Y, a_zip


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


def a_picture(
    size: tuple[int, int] = (5, 6), mode: str = "L", kind: str = "PNG", level: int = 0, **options: Any
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level, 0, 0)).save(file, kind, **options)
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


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([print, X], object), y=Y)
    return file.getvalue()


def renamed(files: dict[str, bytes], name: bytes, places: int = 2) -> bytes:
    """A zip in which é is `name`, and a flag says UTF-8: in the member's own header, and in the directory too."""
    return a_zip(files).replace("é".encode(), name, places)


GOOD = {f"{c}/{n}.png": a_picture() for c in "ab" for n in range(3)}
