"""Files that a command makes, and what is no file."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lutnas.cli.newfile import check_new_file, write_whole


def test_a_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """As /dev/stdout may be none."""
    pipe, found = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    check_new_file(pipe)
    write_whole(pipe, "text")
    reader.join()
    assert (found, [path.name for path in tmp_path.iterdir()]) == (["text"], ["pipe"])


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no such name")
def test_stdout_that_goes_to_a_file_goes_on_with_it(tmp_path: Path) -> None:
    program = """
from pathlib import Path
from lutnas.cli.newfile import check_new_file, write_whole
print("first")
check_new_file(Path("/dev/stdout"))
write_whole(Path("/dev/stdout"), "second\\n")
"""
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True, timeout=60)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "first\nsecond\n"


def test_a_look_at_what_may_be_written_leaves_what_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    check_new_file(tmp_path / "file")
    check_new_file(tmp_path / "folder" / "new")
    assert (tmp_path / "file").read_text() == "before"
    assert list((tmp_path / "folder").iterdir()) == []
    with pytest.raises(FileExistsError):
        check_new_file(tmp_path / "file" / "new")
