"""Start a process that dies with the one that started it, however that one ends.

`tethered([...])` gives the command to pass to `subprocess.Popen`: this file, run as a script, which ties itself
to its parent, drops to another user where asked, and becomes the command. A script instead of `preexec_fn`,
because that one is unsafe once threads run. On Linux the kernel keeps the promise (PR_SET_PDEATHSIG); elsewhere
only an orderly end of the test run stops what it started.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tethered(
    command: Sequence[str], *, on_parent_death: signal.Signals = signal.SIGKILL, user: str | None = None
) -> list[str]:
    """`command`, tied to the calling process; `user` needs root. The caller's thread must outlive the process."""
    return [sys.executable, "-I", __file__, str(os.getpid()), str(int(on_parent_death)), user or "", *command]


def _become(parent: int, death_signal: int, user: str, command: list[str]) -> None:
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    # After the change of user, which would undo it.
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent was gone before the tether held")
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
