"""A worker as a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from api.db.migrate import upgrade
from tests.servers.running import running

PATIENCE_SECONDS = 60.0


def test_the_child_that_trains_gives_way_to_others_and_its_parent_does_not(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'lutnas.db'}")
    environ = {**os.environ, "LUTNAS_HOME": str(tmp_path), "LUTNAS_WORKER_NICENESS": "3"}
    command = [sys.executable, "-P", "-m", "lutnas", "worker"]
    mine = os.nice(0)
    with running(command, lambda: True, cwd=tmp_path, env=environ, log=tmp_path / "worker.log") as process:
        parent, deadline = psutil.Process(process.pid), time.monotonic() + PATIENCE_SECONDS
        while [child.nice() for child in parent.children()] != [mine + 3]:
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.1)
        assert parent.nice() == mine


@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 0), ("1 + os.getppid()", -signal.SIGKILL)])
def test_the_child_lives_with_the_very_parent_it_had(parent: str, code: int) -> None:
    """Whichever number that has: in a container it is 1, which is the number of no parent elsewhere."""
    program = f"import os; from workers.main import _die_with; _die_with({parent})"
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == code


FORKS_IN_A_THREAD = """
import os, threading
from workers.main import _die_with

def fork():
    parent = os.getpid()
    if os.fork() == 0:
        _die_with(parent)
        os.read(given, 1)
        os._exit(7)

given, gives = os.pipe()
thread = threading.Thread(target=fork)
thread.start()
thread.join()
"""


def test_a_child_outlives_the_thread_that_forked_it() -> None:
    """As Celery has one fork the child that takes the place of another, and ends that thread before the child."""
    program = FORKS_IN_A_THREAD + "os.write(gives, b'.'); raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))"
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 7


def test_a_child_does_not_outlive_its_parent() -> None:
    program = FORKS_IN_A_THREAD + "os.kill(os.getpid(), 9)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""  # until the child, which has the other end too, is gone
        assert process.wait() == -signal.SIGKILL
