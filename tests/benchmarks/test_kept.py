"""What a stopped benchmark goes on from."""

from pathlib import Path

import pytest

from benchmarks import _kept
from benchmarks._kept import Kept, read

ABOUT = {"epochs": 2, "names": ("a", "b")}


def test_finished_runs_come_back_and_nothing_is_measured_twice(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    Kept(file, ABOUT, lambda: "first").add({"seed": 0})
    again = Kept(file, ABOUT, lambda: "second")
    assert (again.measured, again.runs) == ("first", [{"seed": 0}])


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    kept = Kept(file, ABOUT, str)
    kept.add({"seed": 0})
    with file.open("a") as out:
        out.write('{"seed": 1')
    Kept(file, ABOUT, str).add({"seed": 2})
    assert Kept(file, ABOUT, str).runs == [{"seed": 0}, {"seed": 2}]


def test_a_file_whose_first_line_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text('{"about": ')
    with pytest.raises(ValueError, match="says not what its runs depend on"):
        read(file)


def test_runs_belong_to_the_code_that_made_them_and_not_to_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kept, "ROOT", tmp_path)
    for room in ("search", "latency", "benchmarks"):
        (tmp_path / room).mkdir()
    told = tmp_path / "benchmarks" / "told.py"
    told.write_text("x = 1")
    code = {name: _written(tmp_path / "search" / "a.py", source) for name, source in {
        "first": 'def f():\n    """Why."""\n    return 1\n',
        "reworded": '"""A module."""\n\n\ndef f():\n    return 1  # because\n',
        "another": "def f():\n    return 2\n",
    }.items()}  # fmt: skip
    assert code["first"] == code["reworded"] != code["another"]
    told.write_text("x = 2")
    assert _kept.code() == code["another"]
    assert _kept.code("told.py") != code["another"]


def _written(file: Path, source: str) -> str:
    file.write_text(source, encoding="utf-8")
    return _kept.code()


def test_runs_made_in_another_way_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    Kept(file, ABOUT, str)
    with pytest.raises(ValueError, match="differ in epochs: name another file by --keep"):
        Kept(file, {**ABOUT, "epochs": 3}, str)


def test_without_a_file_runs_stay_in_memory() -> None:
    kept = Kept(None, ABOUT, lambda: "table")
    kept.add({"seed": 0})
    assert (kept.measured, kept.runs) == ("table", [{"seed": 0}])


def test_a_file_that_was_not_cut_off_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    Kept(file, ABOUT, str).add({"seed": 0})
    before = file.stat().st_mtime_ns
    assert Kept(file, ABOUT, str).runs == [{"seed": 0}]
    assert file.stat().st_mtime_ns == before
