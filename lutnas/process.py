"""Child processes of the command: they end with the one that started them, however that one ends.

Errors:
    ChildError (RuntimeError)   a child ended before it was ready; the text has the last lines of its log
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

PR_SET_PDEATHSIG, M_ARENA_MAX = 1, -8
STOP_SECONDS = 30.0  # a worker ends its step and writes a checkpoint before it goes
LOG_LINES = 15


class ChildError(RuntimeError):
    """A child ended before it was ready; the text has the last lines of its log."""


class Child:
    """A `lutnas ...` process in a session of its own, so that Ctrl-C reaches only the parent, which then stops it.

    A context manager. Its stdout can be read where `piped`; with `log` its stderr (and an unpiped stdout) goes to that
    file, else to where the parent's goes.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        log: Path | None = None,
        piped: bool = False,
    ) -> None:
        self.name, self.log = f"lutnas {arguments[0]}", log
        out: IO[bytes] | None = log.open("wb") if log is not None else None
        try:
            self.process = subprocess.Popen(
                # -P: a package called api in the working directory must not come before ours.
                [sys.executable, "-P", "-m", "lutnas", *arguments, "--tied-to", str(os.getpid())],
                env=None if environ is None else dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else out,
                stderr=out,
                text=True,
                start_new_session=True,
            )
        finally:
            if out is not None:
                out.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def first_line(self) -> str:
        """The first line of its stdout, which says that it is ready; raises ChildError where it ends before."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ChildError(f"`{self.name}` ended with code {code}{self.last_words()}")
        return line

    def last_words(self) -> str:
        """The end of its log, for an error."""
        if self.log is None:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "".join(f"\n  {line}" for line in [f"the end of {self.log}:", *lines])

    def stop(self) -> None:
        """Asks it to end, and ends it and what it started where it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def on_end(self, call: Callable[[int], None]) -> None:
        """Calls `call` with its exit code, from a thread, once it has ended."""
        threading.Thread(target=lambda: call(self.process.wait()), daemon=True).start()


def use_one_heap() -> None:
    """Has all threads of this process share one heap where the C library (glibc) would give each its own. A server's
    threads come and go: what each heap once held adds up, for no speed, as Python runs one thread at a time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def tie_to(parent: int) -> None:
    """Ends this process (SIGTERM) when the process `parent`, which started it, is gone."""
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    else:
        threading.Thread(target=_await_orphanage, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it went before the tie held
        os.kill(os.getpid(), signal.SIGTERM)


def _await_orphanage(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
