"""JSON documents that people hand to the command."""

import json
from typing import IO, Any

from lutnas.cli.failure import refuse


def read_json(file: IO[bytes], parameter: str = "FILE") -> dict[str, Any]:
    """The JSON object in `file`; ends the command with exit code 2 where it is anything else."""
    name = getattr(file, "name", "<stdin>")  # standard input may be anything
    try:
        document = json.load(file)
    except ValueError as error:  # also bytes that are no UTF-8
        refuse(parameter, f"{name}: is not JSON: {error}")
    except RecursionError:
        refuse(parameter, f"{name}: is nested too deeply")
    if not isinstance(document, dict):
        refuse(parameter, f"{name}: holds no JSON object, but a {type(document).__name__}")
    return document
