"""Files that a command makes: whole, or not there."""

from pathlib import Path


def check_new_file(to: Path) -> None:
    """Makes the folder if it is missing; raises OSError where `write_whole` could not write."""
    if _is_other(to):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(to)
    try:
        beside.touch()
    finally:
        beside.unlink(missing_ok=True)


def write_whole(to: Path, text: str) -> None:
    """Writes `text`, with the folder if it is missing; a file that stood is replaced at once, also behind a link. What
    is no file, such as /dev/stdout, is written to.
    """
    if _is_other(to):
        to.write_text(text, encoding="utf-8", newline="")
        return
    to = to.resolve()
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(to)
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(to)
    finally:
        beside.unlink(missing_ok=True)


def _is_other(to: Path) -> bool:
    return to.exists() and not to.is_file()


def _beside(to: Path) -> Path:
    return to.with_name(f".{to.name}.part")
