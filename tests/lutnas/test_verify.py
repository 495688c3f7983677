"""`lutnas verify`, timing this very machine."""

from pathlib import Path
from typing import Any

import pytest

from api.db.session import Database
from search.space import preset
from tests.lutnas.conftest import Service, csv_of
from tests.lutnas.part_of_a_worker import finish, submit, take
from tests.lutnas.small import model, model_tflite


def derived(service: Service, database: Database, spec: dict[str, Any], **files: bytes) -> str:
    """The architecture of a job on the one device of `spec`."""
    job = submit(service, spec)
    named = {f"model.{kind}": content for kind, content in files.items()}
    finish(service, database, take(database, job["id"]), files=named, device=spec["constraints"][0]["device"])
    return str(service.data("jobs", "show", job["id"])["architecture"])


@pytest.fixture
def timed_by(
    request: pytest.FixtureRequest, service: Service, spec: dict[str, Any], tmp_path: Path
) -> tuple[dict[str, Any], str]:
    """A job, and its device, which has a table of this runtime and so many threads."""
    runtime, threads = request.param
    device, file = f"{runtime}-{threads}", tmp_path / "table.csv"
    text = csv_of(preset("fbnet-mini"), device)
    file.write_text(text.replace("made-up", runtime).replace("# threads: 1", f"# threads: {threads}"))
    table = service.data("tables", "upload", str(file), "--device", device, "--create")
    constraint = {"metric": "latency", "device": device, "table": table["id"], "max_us": 1e6}
    return {**spec, "constraints": [constraint]}, device


def test_a_derived_architecture_is_measured_and_the_service_keeps_it(
    service: Service, database: Database, spec: dict[str, Any]
) -> None:
    name = derived(service, database, spec, onnx=model())
    told = service.data("verify", name, "--device", "board")
    assert (told["predicted_latency_us"], told["comparable"]) == (70.0, False)
    (kept,) = service.data("architectures", "show", name)["measured"]
    assert kept["latency_us"] == told["measured_latency_us"] > 0
    assert (kept["device"], kept["runtime"], kept["threads"]) == ("board", "onnxruntime", 1)
    unknown = service.lutnas("verify", name, "--device", "nowhere")
    assert unknown.exit_code == 1
    assert "nowhere" in unknown.stderr


@pytest.mark.parametrize(
    ("timed_by", "hint"),
    [
        (("made-up", 1), "search with a table that `lutnas profile` made"),
        (("litert", 1), "the architecture has no model.tflite"),
    ],
    indirect=["timed_by"],
)
def test_a_table_of_a_runtime_that_was_not_measured_is_not_told_to_be_off(
    service: Service, database: Database, timed_by: tuple[dict[str, Any], str], hint: str
) -> None:
    spec, device = timed_by
    done = service.lutnas("verify", derived(service, database, spec, onnx=model()), "--device", device)
    assert done.exit_code == 0, done.stderr
    assert f"is of runtime {device.removesuffix('-1')}; this was runtime onnxruntime" in done.stderr
    assert f"hint: {hint}" in done.stderr
    assert "70.0 us" in done.stdout
    assert "off by" not in done.stdout


@pytest.mark.parametrize("timed_by", [("onnxruntime", 2)], indirect=True)
def test_the_threads_of_the_table_are_taken(
    service: Service, database: Database, timed_by: tuple[dict[str, Any], str]
) -> None:
    spec, device = timed_by
    name = derived(service, database, spec, onnx=model())
    told = service.data("verify", name, "--device", device)
    assert (told["runtime"], told["threads"], told["comparable"]) == ("onnxruntime", 2, True)
    assert "off by" in service.lutnas("verify", name, "--device", device).stdout
    other = service.lutnas("verify", name, "--device", device, "--threads", "1")
    assert "is of threads 2; this was threads 1" in other.stderr
    assert "hint: leave --threads away to measure with 2" in other.stderr
    assert "off by" not in other.stdout


@pytest.mark.parametrize("timed_by", [("litert", 1)], indirect=True)
def test_a_table_of_litert_is_held_against_the_file_for_litert(
    service: Service, database: Database, timed_by: tuple[dict[str, Any], str]
) -> None:
    spec, device = timed_by
    name = derived(service, database, spec, onnx=model(), tflite=model_tflite())
    told = service.data("verify", name, "--device", device)
    assert (told["runtime"], told["comparable"]) == ("litert", True)
