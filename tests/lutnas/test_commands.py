"""Each command against a real service: its data, its errors, its exit code."""

import gzip
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutnas.cli import cli
from search.space import preset
from tests.lutnas.conftest import PROGRAM, Service, csv_of


def test_devices_are_created_listed_and_shown(service: Service) -> None:
    made = service.data("devices", "create", "pi4", "--description", "on the shelf", "--label", "team=cam")
    assert (made["name"], made["description"], made["labels"]) == ("pi4", "on the shelf", {"team": "cam"})
    assert "pi4" in [device["name"] for device in service.data("devices", "list")]
    assert service.data("devices", "show", "pi4") == service.data("devices", "show", made["id"]) == made
    assert "pi4" in service.lutnas("devices", "list").stdout


def test_a_label_that_is_none_is_wrong_usage(service: Service) -> None:
    done = service.lutnas("devices", "create", "pi5", "--label", "cam")
    assert done.exit_code == 2
    assert "'cam' is not written NAME=VALUE" in done.stderr


def test_a_refusal_is_told_on_stderr_with_exit_code_1(service: Service) -> None:
    done = service.lutnas("devices", "show", "nobody", "--json")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "nobody" in done.stderr


def test_a_wrong_token_gets_a_hint(service: Service) -> None:
    done = service.lutnas("devices", "list", "--token", "wrong")
    assert done.exit_code == 1
    assert "\nhint: give the token with --token-file" in done.stderr


def test_nobody_at_the_address_is_exit_code_4(service: Service) -> None:
    done = service.lutnas("devices", "list", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 4
    assert done.stderr.startswith("error: cannot reach the service at http://127.0.0.1:9")
    assert "\nhint: start one with `lutnas serve`" in done.stderr


def test_wrong_usage_is_exit_code_2_with_the_help_to_ask(service: Service) -> None:
    done = service.lutnas("devices", "creat")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: No such command 'creat'")
    assert "hint: see `lutnas devices --help`" in done.stderr.replace("`cli", "`lutnas")


def test_a_command_without_its_part_shows_the_help_and_is_wrong_usage(service: Service) -> None:
    done = service.lutnas("jobs")
    assert done.exit_code == 2
    assert done.stderr.startswith("Usage: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs", "derive", "job_1", "--max-bytes", "inf"], "cannot be sent: Out of range float values"),
        (["jobs", "reproduce", "job_1", "--key", "größe"], "1 to 200 printable ASCII characters are needed"),
        (["jobs", "reproduce", "job_1", "--key", ""], "1 to 200 printable ASCII characters are needed"),
        (["tokens", "create", "x", "--scope", "read", "--days", "9999999"], "is not in the range"),
        (["profile", "--space", "fbnet-mini", "--device", "x", "--upload", "--seed", "-1"], "-1 is not in the range"),
        (["profile", "--space", "fbnet-mini", "--device", "x", "--upload", "--note", "x" * 1001], "1000 are taken"),
    ],
)
def test_what_cannot_be_sent_is_an_error(service: Service, arguments: list[str], said: str) -> None:
    done = service.lutnas(*arguments)
    assert done.exit_code == (1 if said.startswith("cannot be sent") else 2)
    assert said in done.stderr


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(
    service: Service, table: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = service.lutnas("tables", "download", table["id"], "--output", str(tmp_path / "file" / "table.csv"))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: File exists: {tmp_path / 'file'}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- tables


def test_the_difference_of_two_tables_is_shown(service: Service, table: Any, tmp_path: Path) -> None:
    file = tmp_path / "slower.csv"
    file.write_text(csv_of(preset("fbnet-mini"), "board-2", scale=1.5))
    other = service.data("tables", "upload", str(file), "--device", "board-2", "--create")
    found = service.data("tables", "difference", table["id"], other["id"])
    assert (found["changed_count"] > 50, found["added_count"], found["removed_count"]) == (True, 0, 0)
    people = service.lutnas("tables", "difference", table["id"], other["id"])
    assert f"{found['equal']} equal, {found['changed_count']} changed, 0 added, 0 removed" in people.stderr
    assert "mbconv 7x7" in people.stdout


def test_a_table_is_uploaded_listed_shown_and_covers_its_space(service: Service, table: Any) -> None:
    assert table["rows"] == len(list(preset("fbnet-mini").operators()))
    assert table["id"] in [t["id"] for t in service.data("tables", "list", "--device", "board")]
    assert table["id"] in [t["id"] for t in service.data("tables", "list")]
    assert service.data("tables", "show", table["id"])["content_hash"] == table["content_hash"]
    rows = service.data("tables", "rows", table["id"])
    assert len(rows) == table["rows"]
    assert all(row["latency_us"] >= 1 for row in rows)
    assert service.data("tables", "coverage", table["id"], "--space", "fbnet-mini") == {"covered": True, "missing": []}


def test_a_heatmap_shows_each_choice_of_each_layer_and_is_written_as_a_picture(
    service: Service, table: Any, tmp_path: Path
) -> None:
    space, asked = preset("fbnet-mini"), ["tables", "heatmap", table["id"], "--space", "fbnet-mini"]
    found = service.data(*asked)
    assert found["columns"] == list(space.candidates)
    layer = space.layers[1]
    operators = [layer.operator(choice) for choice in layer.choices]
    assert found["layers"][1]["shape"] == "14x14 16-24 s2"
    assert found["layers"][1]["latency_us"] == [1.0 + o.c_mid + o.c_out for o in operators]
    picture = tmp_path / "heat.svg"
    done = service.lutnas(*asked, "--precision", "fp32", "--precision", "w8a8", "--svg", str(picture))
    assert done.exit_code == 0
    assert "k3_e6" in done.stdout
    assert picture.read_text().startswith("<svg")
    halves = service.data(*asked, "--width", "0.5")
    assert "k3_e1 x0.5" in halves["columns"]
    assert all(len(row["latency_us"]) == len(halves["columns"]) for row in halves["layers"])
    assert any(value is None for row in halves["layers"] for value in row["latency_us"])


def test_a_gap_in_the_coverage_is_exit_code_1_and_named(service: Service, table: Any) -> None:
    answer = service.data("tables", "coverage", table["id"], "--space", "fbnet-cifar", code=1)
    assert not answer["covered"]
    done = service.lutnas("tables", "coverage", table["id"], "--space", "fbnet-cifar")
    assert len(done.stdout.splitlines()) == len(answer["missing"])
    assert "mbconv 32x32 " in done.stdout


def test_the_same_table_again_changes_nothing_also_gzipped(service: Service, table: Any, tmp_path: Path) -> None:
    file = tmp_path / "board.csv.gz"
    file.write_bytes(gzip.compress(csv_of(preset("fbnet-mini"), "board").encode()))
    again = service.data("tables", "upload", str(file), "--device", "board")
    assert again["id"] == table["id"]


def test_a_downloaded_table_uploads_as_the_same_one(service: Service, table: Any, tmp_path: Path) -> None:
    for form in ("csv", "json"):
        file = tmp_path / f"again.{form}"
        done = service.data("tables", "download", table["id"], "--format", form, "--output", str(file))
        assert done == {"table": table["id"], "file": str(file)}
        assert service.data("tables", "upload", str(file), "--device", "board")["id"] == table["id"]


def test_a_table_goes_into_a_pipe_and_behind_a_link(service: Service, table: Any, tmp_path: Path) -> None:
    (file := tmp_path / "table.csv").write_text("of before")
    (link := tmp_path / "link").symlink_to(file)
    service.data("tables", "download", table["id"], "--output", str(link))
    assert link.is_symlink()
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        done = service.lutnas("tables", "download", table["id"], "--output", str(pipe))
        assert (done.exit_code, done.stdout) == (0, ""), done.stderr
        assert read.result() == file.read_text()
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no such name")
def test_what_goes_to_stdout_goes_behind_what_its_file_has(service: Service, table: Any, tmp_path: Path) -> None:
    service.data("tables", "download", table["id"], "--output", str(tmp_path / "table.csv"))
    (file := tmp_path / "all.csv").write_text("before\n")
    asked = [*PROGRAM, "tables", "download", table["id"], "--output", "/dev/stdout"]
    with file.open("a") as out:
        subprocess.run(asked, env={**os.environ, **service.environ}, stdout=out, check=True, timeout=60)
    assert file.read_text() == "before\n" + (tmp_path / "table.csv").read_text()


def test_tables_are_listed_of_a_team_whose_device_has_the_name_of_ones_own(service: Service, tmp_path: Path) -> None:
    wanted = set()
    for owner, scale in (("ann", 1.0), ("vision", 2.0)):
        with service.client() as main:
            secret = main.tokens.create(owner, scopes=["read", "profile"], owner=owner)["secret"]
        (file := tmp_path / f"{owner}.csv").write_text(csv_of(preset("fbnet-mini"), "twin", scale=scale))
        wanted.add(service.data("tables", "upload", str(file), "--device", "twin", "--create", "--token", secret)["id"])
    with service.client() as main:
        secret = main.tokens.create("both", scopes=["read"], owner="ann", teams=["vision"])["secret"]
    assert {one["id"] for one in service.data("tables", "list", "--token", secret)} == wanted


@pytest.mark.parametrize("option", ["--url", "--token"])
def test_an_empty_address_or_token_is_not_one_left_out(service: Service, option: str) -> None:
    done = service.lutnas("devices", "list", option, "")
    assert done.exit_code == 2
    assert f"Invalid value for '{option}': is empty" in done.stderr


def test_a_table_that_is_wrong_is_refused_by_row(service: Service, tmp_path: Path) -> None:
    text = csv_of(preset("fbnet-mini"), "board")
    head, _, last = text.rstrip("\n").rpartition("\n")
    file = tmp_path / "wrong.csv"
    file.write_text(head + "\n" + last.replace(last.split(",")[13], "-3") + "\n")
    done = service.lutnas("tables", "upload", str(file), "--device", "board")
    assert done.exit_code == 1
    assert f"row {len(text.splitlines())}, latency_us: " in done.stderr


def test_a_file_that_is_no_table_by_its_name_is_wrong_usage(service: Service, tmp_path: Path) -> None:
    (tmp_path / "table.xlsx").write_bytes(b"")
    assert service.lutnas("tables", "upload", str(tmp_path / "table.xlsx"), "--device", "board").exit_code == 2


# --- spaces and data sets


def test_spaces_are_listed_shown_created_and_taken_apart(service: Service, tmp_path: Path) -> None:
    assert {"fbnet", "fbnet-cifar", "fbnet-mini"} <= {space["name"] for space in service.data("spaces", "list")}
    space = preset("fbnet-mini").model_dump(mode="json")
    file = tmp_path / "own.json"
    file.write_text(json.dumps({**space, "name": "own", "classes": 7}))
    assert service.data("spaces", "create", str(file))["classes"] == 7
    assert service.data("spaces", "show", "own")["name"] == "own"
    operators = service.data("spaces", "operators", "fbnet-mini")
    assert len(operators["operators"]) == len(list(preset("fbnet-mini").operators()))
    assert preset("fbnet-mini").stem_operator.key in service.lutnas("spaces", "operators", "fbnet-mini").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not JSON"), ("[]", "holds no JSON object"), ("[" * 100_000, "is nested too deeply")],
    ids=["cut off", "a list", "deep"],
)
def test_a_file_that_holds_no_json_object_is_wrong_usage(service: Service, text: str, said: str) -> None:
    done = service.lutnas("spaces", "create", "-", input=text)
    assert done.exit_code == 2
    assert said in done.stderr


def test_data_sets_are_listed_shown_and_uploaded(service: Service, tmp_path: Path) -> None:
    assert {"fashion-mnist", "digits"} <= {known["name"] for known in service.data("datasets", "list")}
    assert service.data("datasets", "show", "digits")["input"] == {"channels": 1, "height": 8, "width": 8}
    rng = np.random.default_rng(0)
    file = tmp_path / "small.npz"
    np.savez(file, x=rng.integers(0, 255, (20, 1, 6, 6), dtype=np.uint8), y=np.arange(20) % 2)
    made = service.data("datasets", "upload", "small", str(file))
    assert (made["classes"], sum(made["examples"].values())) == (2, 20)
    assert "1x6x6" in service.lutnas("datasets", "list").stdout


# --- all of them


def leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        return [path]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


@pytest.mark.parametrize("path", leaves(cli), ids=" ".join)
def test_every_command_has_json_and_says_what_it_does(service: Service, path: tuple[str, ...]) -> None:
    shown = service.lutnas(*path, "--help").stdout
    assert "--json" in shown


def test_version_is_that_of_the_package(service: Service) -> None:
    assert service.data("version")["lutnas"] in service.lutnas("version").stdout
