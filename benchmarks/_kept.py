"""Finished runs in a file, one JSON object a line, so that a benchmark that was stopped goes on. Torch-free.

The first line says what the runs depend on and carries what was measured before them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Run = dict[str, Any]


def code() -> str:
    """A digest of what trains and judges: runs that were kept belong to the code that made them."""
    digest = hashlib.sha256()
    for file in sorted(path for room in ("search", "latency", "benchmarks") for path in (ROOT / room).rglob("*.py")):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read(file: Path) -> tuple[Mapping[str, Any], str, list[Run]]:
    """What the runs in `file` depend on, what was measured before them, and those that were finished."""
    lines = file.read_text().splitlines(keepends=True)
    first, *runs = (json.loads(line) for line in lines if line.endswith("\n"))  # the last may have been cut off
    return first["about"], first["measured"], runs


class Kept:
    """The runs in `file`, and those that are added; in memory alone where there is no file.

    `about` is what they depend on; `measured()` what is measured once, before the first: a text. Raises ValueError
    where the file's runs were made in another way.
    """

    def __init__(self, file: Path | None, about: Mapping[str, Any], measured: Callable[[], str]) -> None:
        self.file, self.runs = file, list[Run]()
        about = json.loads(json.dumps(about))  # as it is read again: no tuples
        if file is None or not file.exists():
            self.measured = measured()
            self._write({"about": about, "measured": self.measured})
            return
        theirs, self.measured, self.runs = read(file)
        if other := sorted(name for name in about if about[name] != theirs.get(name)):
            raise ValueError(f"{file}: its runs differ in {', '.join(other)}: name another file by --keep")
        whole, _, cut_off = file.read_text().rpartition("\n")
        if cut_off:
            file.write_text(whole + "\n")

    def add(self, run: Run) -> None:
        """Keeps one more."""
        self.runs.append(run)
        self._write(run)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.file is not None:
            with self.file.open("a") as out:
                out.write(json.dumps(line) + "\n")
