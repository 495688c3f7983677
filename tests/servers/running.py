"""Run a long-lived command, of ours or not, for the length of a `with`."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.servers.server import wait_until_up
from tests.servers.tether import tethered


@contextmanager
def running(
    command: Sequence[str],
    answers: Callable[[], bool],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    ended_by: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` from the time it answers to `ended_by`. Raises ServerError with the end of its log if it fails."""
    with log.open("wb") as sink:
        # SIGTERM, as a command of ours has children of its own to take along.
        tied = tethered(command, on_parent_death=signal.SIGTERM)
        process = subprocess.Popen(tied, cwd=cwd, env=env, stdout=sink, stderr=sink)
    try:
        wait_until_up(process, answers, name=" ".join(command), log=log)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(ended_by)
        process.wait(timeout=120)  # a worker compiles or imports, before it looks


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead: in a container, process 1 may never ask for an orphan's exit code."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_healthy(url: str) -> bool:
    """Whether the API at `url` answers GET /healthz with success."""
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False
