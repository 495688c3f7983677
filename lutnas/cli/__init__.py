"""The `lutnas` command. Importing it loads nothing of the server, of torch or of onnx."""

import signal

from lutnas.cli.failure import ExitCode
from lutnas.cli.root import cli


def main() -> None:
    """Runs the command line and exits with its code. At SIGTERM what is half written is taken away first."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what is raised in a finaliser is lost
        raise SystemExit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, end)
    cli()


__all__ = ["cli", "main"]
