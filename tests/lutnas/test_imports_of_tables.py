"""`lutnas tables import`: a public file in, a table that the service takes out."""

import json
from pathlib import Path

from tests.lutnas.conftest import Service

KEY = "expanded_conv-input:28x28x16-output:14x14x24-expand:6-kernel:3-stride:2-idskip:0"
SAID = ["--device", "pixel", "--runtime", "tflite"]


def test_an_imported_table_is_one_that_the_service_takes(service: Service, tmp_path: Path) -> None:
    file, to = tmp_path / "public.json", tmp_path / "made" / "pixel.csv"
    file.write_text(json.dumps({KEY: {"mean": 1.5}, "Pool": {"mean": 1.0}}))
    done = service.data("tables", "import", "proxyless", str(file), *SAID, "--unit", "ms", "--output", str(to))
    assert done == {"file": str(to), "rows": 1, "left_out": {"Pool: no operator of a table": 1}}
    stored = service.data("tables", "upload", str(to), "--device", "pixel", "--create")
    (row,) = service.data("tables", "rows", stored["id"])
    assert (row["latency_us"], row["provenance"], row["c_mid"]) == (1500.0, "published", 96)


def test_positions_are_those_of_a_space(service: Service, tmp_path: Path) -> None:
    file, to = tmp_path / "pi4.json", tmp_path / "pi4.csv"
    file.write_text(json.dumps([[1.0] * 9]))
    asked = ["tables", "import", "fbnet-positional", str(file), *SAID, "--unit", "us", "--output", str(to)]
    wrong = service.lutnas(*asked, "--space", "fbnet-cifar")
    assert (wrong.exit_code, "the file has 1 layers with values, the space 22" in wrong.stderr) == (1, True)
    unknown = service.lutnas(*asked, "--space", "nowhere")
    assert (unknown.exit_code, "none of the preset spaces" in unknown.stderr) == (2, True)


def test_a_pickle_is_not_read(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "latency.pkl"
    file.write_bytes(b"\x80\x04\x95\xff\xff")
    done = service.lutnas(
        "tables", "import", "tf-nas", str(file), *SAID, "--unit", "ms", "--output", str(tmp_path / "x")
    )
    assert (done.exit_code, "a pickle is not read" in done.stderr) == (2, True)
