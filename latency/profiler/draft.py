"""What was timed so far, on disk: a profile that is stopped goes on where it was.

A text file that only grows: the plan's fingerprint, then a line a burst: graph, nanoseconds of each call.
"""

import os
from pathlib import Path

from latency.profiler.errors import DraftError
from latency.profiler.measure import Burst

_TITLE = "lutnas profile draft,"


class Draft:
    """The draft at `path` of the plan with this `fingerprint`, of `graphs` graphs. DraftError if of another."""

    def __init__(self, path: Path, fingerprint: str, graphs: int) -> None:
        self._path = path
        self._title = _TITLE + fingerprint
        self._graphs = graphs

    def read(self) -> list[Burst]:
        """The bursts of an earlier run, without one cut off at the end. Starts the file where there is none."""
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        title, *lines = whole.decode(errors="replace").splitlines() or [self._title]
        if title != self._title:
            raise DraftError(f"{self._path} is no draft of this profile: delete it, or name another file")
        bursts = [self._burst(line) for line in lines]
        if not whole:
            self._path.write_text(title + "\n", encoding="utf-8")
        elif whole != content:
            os.truncate(self._path, len(whole))  # written anew it would be lost where the disk is full
        return bursts

    def append(self, burst: Burst) -> None:
        """Notes one burst."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(",".join(map(str, (burst.graph, *burst.calls_ns))) + "\n")

    def _burst(self, line: str) -> Burst:
        try:
            graph, *calls = map(int, line.split(","))
        except ValueError as error:
            raise DraftError(f"{self._path}: {line[:40]!r} is no line of a draft: delete the file") from error
        if not 0 <= graph < self._graphs or not calls:
            raise DraftError(f"{self._path}: {line[:40]!r} is no line of a draft: delete the file")
        return Burst(graph, calls)
