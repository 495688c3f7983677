"""`lutnas profile`, timing this very machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from latency.formats import read_csv
from latency.operator import Operator
from tests.lutnas.conftest import Service
from tests.lutnas.scripted import Answer, scripted

OPERATORS = [
    Operator("base"),
    Operator("stem", 8, 8, 1, 0, 8, 1, 3),
    Operator("mbconv", 8, 8, 8, 8, 8, 1, 3, 1),
    Operator("head", 8, 8, 8, 16, 4),
]


def document(*operators: dict[str, Any]) -> str:
    return json.dumps({"space": "tiny", "operators": list(operators)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "operators.json"
    found.write_text(document(*map(asdict, OPERATORS)))
    return found


def test_a_profile_is_written_and_uploaded_as_one_table(service: Service, file: Path, tmp_path: Path) -> None:
    to = tmp_path / "made" / "bench.csv"
    done = service.data("profile", "--device", "bench", "--operators", str(file), "--output", str(to), "--upload")
    assert (done["device"], done["rows"], done["file"]) == ("bench", len(OPERATORS), str(to))
    with to.open(newline="") as lines:
        table = read_csv(lines)
    assert set(table) == set(OPERATORS)
    assert done["table"]["content_hash"] == table.content_hash
    assert [path.name for path in to.parent.iterdir()] == ["bench.csv"]  # no draft is left


def test_a_table_whose_upload_fails_is_kept_and_can_be_uploaded(service: Service, file: Path, tmp_path: Path) -> None:
    def answers(path: str) -> Answer:
        return Answer(status=0) if path.endswith("/tables") else Answer(b'{"items": [{"name": "bench"}]}')

    with scripted(answers) as server:
        away = Service(server.url, tmp_path / "home")
        done = away.lutnas("profile", "--device", "bench", "--operators", str(file), "--upload", "--url", server.url)
    assert done.exit_code == 4, done.stderr
    (kept,) = (away.home / "profiles").iterdir()
    command = f"tables upload {kept} --device bench"
    assert f"to upload it: lutnas {command}\nerror: cannot reach" in done.stderr
    assert service.data(*command.split(), "--create")["rows"] == len(OPERATORS)


def test_a_profile_that_cannot_be_written_goes_on_from_its_draft(service: Service, file: Path, tmp_path: Path) -> None:
    to, in_the_way = tmp_path / "bench.csv", tmp_path / ".bench.csv.part"
    in_the_way.mkdir()
    asked = ["profile", "--device", "bench", "--operators", str(file), "--output", str(to)]
    done = service.lutnas(*asked)
    assert done.exit_code == 1
    assert f"error: cannot write {to}: Is a directory\nhint: what was timed is kept in {to}.draft" in done.stderr
    in_the_way.rmdir()
    assert len((tmp_path / "bench.csv.draft").read_text().splitlines()) > 100
    service.data(*asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.csv", file.name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give either --space NAME or --operators FILE"),
        (["--space", "fbnet-mini"], "give --output FILE, --upload, or both"),
        (["--operators", __file__, "--width", "0.5", "--output", "t.csv"], "choose among a --space"),
    ],
)
def test_what_would_come_to_nothing_is_wrong_usage(service: Service, options: list[str], said: str) -> None:
    done = service.lutnas("profile", "--device", "bench", *options)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"space": "tiny"}', 'has no list "operators"'),
        (document({"kind": "mbconv", "h": 8}), "operators[0].w: a mbconv needs it"),
        (document(asdict(OPERATORS[0]), {"kind": "base", "depth": 3}), "operators[1]: "),
        (document({**asdict(OPERATORS[0]), "h": 8.5}), "operators[0].h: 8.5 is not a whole number"),
        (document({**asdict(OPERATORS[0]), "kernel": 3}), "operators[0].kernel: does not apply to a base"),
    ],
)
def test_an_operators_file_that_is_wrong_is_named_by_its_place(
    service: Service, file: Path, tmp_path: Path, text: str, said: str
) -> None:
    file.write_text(text, encoding="utf-8")
    to = str(tmp_path / "t.csv")
    done = service.lutnas("profile", "--device", "bench", "--operators", str(file), "--output", to)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_device_that_the_service_refuses_is_said_before_anything_is_timed(service: Service, file: Path) -> None:
    done = service.lutnas("profile", "--device", "Not A Name", "--operators", str(file), "--upload")
    assert done.exit_code == 1
    assert "timed" not in done.stderr
