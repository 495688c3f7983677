"""Files that a command makes: whole, or not there."""

from pathlib import Path


def write_whole(to: Path, text: str) -> None:
    """Writes `text`, with the folder if it is missing; a file that stood is replaced at once."""
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = to.with_name(f".{to.name}.part")
    beside.write_text(text, encoding="utf-8", newline="")
    beside.replace(to)
