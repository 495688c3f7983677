"""`lutnas version`."""

import platform
from importlib import metadata

import click
from rich.text import Text

from lutnas.cli.options import json_option
from lutnas.cli.output import Output


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version of lutnas and of the Python that runs it."""
    found = {"lutnas": metadata.version("lutnas"), "python": platform.python_version()}
    Output(as_json).document(found, Text(" ".join(f"{name} {number}" for name, number in found.items())))
