"""Files that a command makes: whole, or not there."""

from pathlib import Path

from lutnas.client.download import own_stdout


def names_a_stream(to: Path) -> bool:
    """Whether what is written to `to` goes to a pipe or a device, or to where this process's own output goes."""
    if (stdout := own_stdout(to)) is not None:
        stdout.close()
        return True
    return to.exists() and not to.is_file()


def is_stdout(to: Path) -> bool:
    """Whether what goes to `to` comes to standard output, which has no room for a word beside it."""
    stdout = own_stdout(to)
    if stdout is not None:
        stdout.close()
    return stdout is not None


def check_new_file(to: Path) -> None:
    """Makes the folder if it is missing; raises OSError where `write_whole` could not write."""
    if names_a_stream(to):
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
    if (stdout := own_stdout(to)) is not None:
        with stdout:
            stdout.write(text.encode())
        return
    if names_a_stream(to):
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


def _beside(to: Path) -> Path:
    return to.with_name(f".{to.name}.part")
