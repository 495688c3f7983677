"""The `lutnas` command. Importing it loads nothing of the server, of torch or of onnx."""

from lutnas.cli.root import cli


def main() -> None:
    """Runs the command line and exits with its code."""
    cli()


__all__ = ["cli", "main"]
