"""`lutnas calibrate`, timing this very machine."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from latency.formats import write_csv
from latency.table import Entry, TableInfo
from tests.lutnas.conftest import Service
from tests.lutnas.small import tiny


@pytest.fixture
def board_table(service: Service, tmp_path: Path) -> Any:
    """A table of this machine's runtime, of made-up latencies."""
    space = tiny()
    with service.client() as client:
        client.create_space(space.model_dump(mode="json"))
    info = TableInfo(
        device="bench-2", runtime="onnxruntime", runtime_version=onnxruntime.__version__, threads=1, batch=1
    )
    file = tmp_path / "bench.csv"
    file.write_text("".join(write_csv(info, [(o, Entry(1.0 + o.c_mid / 50)) for o in space.operators()])))
    return service.data("tables", "upload", str(file), "--device", "bench-2", "--space", space.name, "--create")


def test_networks_timed_here_tell_how_far_a_table_is_off(service: Service, board_table: Any) -> None:
    asked = ["calibrate", board_table["id"], "--space", "tiny-calibrated", "--networks", "12"]
    told = service.data(*asked)
    assert told["trust"]["networks"] == 12
    assert told["trust"]["mape"] > 0
    with service.client() as client:
        kept = list(client.measurements(board_table["id"]))
    assert [row["samples"] >= 12 for row in kept] == [True] * 12
    assert all(1.0 < row["latency_us"] < 1e5 and row["p10_us"] <= row["p90_us"] for row in kept)
    people = service.lutnas(*asked[:-1], "2")
    assert people.exit_code == 0
    assert "as uploaded" in people.stdout
    assert "rank correlation" in people.stdout


def test_a_table_of_another_runtime_is_refused_before_anything_is_timed(service: Service, table: Any) -> None:
    done = service.lutnas("calibrate", table["id"], "--space", "fbnet-mini")
    assert done.exit_code == 2
    assert "is of made-up, and lutnas has litert, onnxruntime, torch, torch-cuda here" in done.stderr


def test_a_table_that_lacks_what_is_drawn_is_refused_before_anything_is_timed(
    service: Service, board_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["calibrate", board_table["id"], "--space", "tiny-calibrated", "--precision", "w8a8"]
    with monkeypatch.context() as nothing:
        nothing.setattr("latency.profiler.networks.Bench", None)
        done = service.lutnas(*asked)
    assert done.exit_code == 1
    assert "lacks" in done.stderr
    assert "hint: time what is missing, with the job's choices (`lutnas profile" in done.stderr


def test_what_was_timed_and_could_not_be_sent_is_kept_and_sent_later(
    service: Service, board_table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = service.data("tokens", "create", "reader", "--scope", "read")["secret"]
    asked = ["calibrate", board_table["id"], "--space", "tiny-calibrated", "--networks", "2"]
    refused = service.lutnas(*asked, "--token", reader)
    assert refused.exit_code == 1
    assert "what was timed is kept" in refused.stderr
    (file,) = tmp_path.glob("tbl_*.json")
    assert f"--measured {file}" in refused.stderr
    with service.client() as client:
        before = len(list(client.measurements(board_table["id"])))
        service.data(*asked, "--measured", str(file))
        assert len(list(client.measurements(board_table["id"]))) == before + 2
