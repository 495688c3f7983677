"""The parts of `lutnas demo` that need no training. The whole of it is `./run demo`."""

from pathlib import Path
from typing import Any

import pytest

from latency.table import TableInfo
from lutnas import demo
from lutnas.cli.failure import Failure
from search.space import Space
from tests.lutnas.conftest import Service, csv_of
from tests.lutnas.small import model, model_tflite


def test_the_space_of_the_digits_is_made_once_and_fits_them(service: Service, tmp_path: Path) -> None:
    with service.client() as client:
        demo._create_digits_space(client)
        demo._create_digits_space(client)
        space = Space.model_validate(client.space("fbnet-mini-8x8"))
        table = tmp_path / "digits.csv"
        table.write_text(csv_of(space, "digits-board"))
        stored = demo._upload(client, demo._read_table(table), space.name)
        target_us = demo._target(client, demo.DIGITS, "digits-board", stored["id"])
        spec = demo._spec(demo.DIGITS, "digits-board", stored["id"], target_us, seed=0)
        answer = client.validate(spec)
    assert answer["valid"]
    assert target_us == pytest.approx(0.6 * answer["reachable"][0]["max_us"], abs=0.001)


def test_what_an_earlier_demo_left_is_cancelled_and_nothing_else(
    service: Service, spec: dict[str, Any], tmp_path: Path
) -> None:
    """Another with its label may be a continuation of it, or a demo elsewhere on the same database."""
    kept = tmp_path / "job"
    with service.client() as client:
        demo._cancel_leftover(client, kept)
        left, other = (client.submit({**spec, "labels": {"made-by": "lutnas-demo"}}) for _ in range(2))
        kept.write_text(left["id"])
        demo._cancel_leftover(client, kept)
        assert client.job(left["id"])["state"] == "cancelled"
        assert client.job(other["id"])["state"] == "queued"
        demo._cancel_leftover(client, kept)
        kept.write_text("job_of_another_database")
        demo._cancel_leftover(client, kept)


def test_a_report_that_cannot_be_written_is_said_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        demo.run(report=tmp_path / "file" / "report.json", table_file=None, seed=0, port=0)


def test_a_file_that_is_no_table_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("kind,latency\nbase,1\n")
    with pytest.raises(Failure, match="is no table: "):
        demo.run(report=None, table_file=file, seed=0, port=0)


def test_a_network_is_measured_by_the_runtime_of_the_table_or_a_warning_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = TableInfo(device="here", runtime="litert", threads=1, batch=1)
    (tmp_path / "model.tflite").write_bytes(model_tflite())  # alone: nothing else could be measured
    assert demo._measure(tmp_path, info) > 0
    assert "warning" not in capsys.readouterr().err
    (tmp_path / "model.tflite").unlink()
    (tmp_path / "model.onnx").write_bytes(model())
    assert demo._measure(tmp_path, info) > 0
    assert "warning: the table is of litert, and the network is measured by onnxruntime" in capsys.readouterr().err


def test_this_machines_name_can_be_a_devices_name(service: Service) -> None:
    with service.client() as client:
        assert client.create_device(demo._device_name())["name"] == demo._device_name()
