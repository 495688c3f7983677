"""Fetching Fashion-MNIST: from a folder or a URL that the user gives, Debian's package, or the authors' own source.

Errors:
    DatasetOutOfReach (OSError)   no source gave the files; the message lists what was tried and what to do
"""

import hashlib
import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from search.datasets.catalog import FASHION_MNIST_SHA256

AUTHORS_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
TIMEOUT_SECONDS = 60

Say = Callable[[str], None]


class DatasetOutOfReach(OSError):
    """No source gave the files of a data set."""


def fashion_mnist(folder: Path, say: Say, *, source: str | None = None) -> Path:
    """The folder with the four checked IDX files, fetched into `folder` when they are not there.

    `source` is a folder or URL that holds them; with it nothing else is tried. Nothing unchecked is left behind.
    Raises DatasetOutOfReach.
    """
    if not wrong_files(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    tried = []
    for name, fetch in _sources(source):
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as aside:
            try:
                say(f"fetching fashion-mnist from {name}")
                found = fetch(Path(aside))
                problem = "; ".join(wrong_files(found))
            except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
                problem = _in_short(error)
            if not problem:
                for file in FASHION_MNIST_SHA256:
                    shutil.copyfile(found / file, Path(aside) / f"whole-{file}")  # others may fetch at the same time
                    os.replace(Path(aside) / f"whole-{file}", folder / file)
                return folder
            tried.append(f"{name}: {problem}")
    raise DatasetOutOfReach(
        f"fashion-mnist could not be fetched ({' | '.join(tried)}). "
        f"Put {', '.join(FASHION_MNIST_SHA256)} into a folder and set LUTNAS_FASHION_MNIST to it, "
        "or to a URL that holds them."
    )


def wrong_files(folder: Path) -> list[str]:
    """What is missing or has another checksum than the authors' files."""
    problems = []
    for file, sha256 in FASHION_MNIST_SHA256.items():
        path = folder / file
        if not path.is_file():
            problems.append(f"{file} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            problems.append(f"{file} has another checksum than the authors' file")
    return problems


def _sources(source: str | None) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    if source is not None and "://" in source:
        yield source, lambda aside: _download(source, aside)
    elif source is not None:
        yield source, lambda aside: Path(source)
    else:
        if shutil.which("apt-get") and shutil.which("dpkg"):
            yield f"Debian's package {DEBIAN_PACKAGE}", _debian
        yield AUTHORS_URL, lambda aside: _download(AUTHORS_URL, aside)


def _download(url: str, aside: Path) -> Path:
    for file in FASHION_MNIST_SHA256:
        answer = urllib.request.urlopen(f"{url.rstrip('/')}/{file}", timeout=TIMEOUT_SECONDS)
        with answer, (aside / file).open("wb") as out:
            shutil.copyfileobj(answer, out)
    return aside


def _debian(aside: Path) -> Path:
    """Downloads and unpacks the package without installing it: needs no root, and touches no package list but its
    own.
    """
    options = []
    try:
        _run(["apt-get", "download", DEBIAN_PACKAGE], aside)
    except subprocess.CalledProcessError:  # the lists may be missing or old: fetch our own
        for part in ("lists/partial", "cache/archives/partial"):
            (aside / part).mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={aside / 'lists'}", "-o", f"Dir::Cache={aside / 'cache'}"]
        _run(["apt-get", *options, "update"], aside)
        _run(["apt-get", *options, "download", DEBIAN_PACKAGE], aside)
    package = next(aside.glob(f"{DEBIAN_PACKAGE}*.deb"))
    _run(["dpkg", "-x", str(package), str(aside / "package")], aside)
    return aside / "package" / "usr" / "share" / "datasets" / "fashion-mnist"


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=5 * TIMEOUT_SECONDS)


def _in_short(error: Exception) -> str:
    text = error.stderr if isinstance(error, subprocess.CalledProcessError) and error.stderr else str(error)
    return text.strip().splitlines()[-1] if text.strip() else type(error).__name__
