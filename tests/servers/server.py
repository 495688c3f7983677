"""A server process in a private folder, on a free port, that ends with the test run."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.servers.binaries import ServerError

START_SECONDS = 180.0  # on a busy machine; a start takes 0.3 s on an idle one, a program with torch 5


@dataclass(frozen=True)
class RunningServer:
    """`url` holds the password. `process` is None for a server that was given and is not ours to stop."""

    url: str
    description: str
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(timeout=30)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def private_folder(name: str) -> Path:
    """A folder of mode 0700. Under /var/tmp, as /tmp may be small, in memory, or barred from running programs."""
    return Path(tempfile.mkdtemp(prefix=f"lutnas-test-{name}-", dir="/var/tmp"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(process: subprocess.Popen[bytes], answers: Callable[[], bool], *, name: str, log: Path) -> None:
    """Return once `answers()`. Raises ServerError with the end of the server's log if it dies or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None:
            raise ServerError(f"{name} ended with code {process.returncode} at its start:\n{_tail(log)}")
        if time.monotonic() > deadline:
            process.kill()
            raise ServerError(f"{name} did not answer within {START_SECONDS:.0f} s:\n{_tail(log)}")
        time.sleep(0.02)


def _tail(log: Path) -> str:
    return (
        "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]) if log.exists() else "(no log)"
    )
