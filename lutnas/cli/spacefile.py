"""A search space by name or from a file, for commands that need its layers and no service."""

from pathlib import Path
from typing import TYPE_CHECKING

from lutnas.cli.failure import extra, refuse

if TYPE_CHECKING:
    from search.space import Space


def read_space(name: str) -> "Space":
    """A preset, or the space in a JSON file; ends the command on anything else."""
    with extra("server", "reading a space"):
        from search.space import SpaceError, parse, preset
    path = Path(name)
    try:
        return parse(path.read_bytes()) if path.is_file() else preset(name)
    except SpaceError as error:
        refuse("--space", str(error))
