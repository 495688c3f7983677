"""Finished runs in a file, one JSON object a line, so that a benchmark that was stopped goes on. Torch-free.

The first line says what the runs depend on and carries what was measured before them.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Run = dict[str, Any]


def code(*benchmarks: str) -> str:
    """A digest of what trains: of search, latency, and the files of benchmarks by these patterns. Runs that were kept
    belong to the code that made them, but not to its comments and docstrings.
    """
    digest, files = hashlib.sha256(), [*(ROOT / "search").rglob("*.py"), *(ROOT / "latency").rglob("*.py")]
    files += [file for pattern in benchmarks for file in (ROOT / "benchmarks").glob(pattern)]
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0{_meaning(file.read_text())}\0".encode())
    return digest.hexdigest()


def _meaning(source: str) -> str:
    """A module's syntax tree without what only people read, as this version of Python writes it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def read(file: Path) -> tuple[Mapping[str, Any], str, list[Run]]:
    """What the runs in `file` depend on, what was measured before them, and those that were finished. Raises
    ValueError.
    """
    whole = [
        line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]  # not one cut off
    if not whole:
        raise ValueError(f"{file}: says not what its runs depend on: delete it")
    first, *runs = map(json.loads, whole)
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
