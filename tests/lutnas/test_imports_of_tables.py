"""`lutnas tables import` and `fit`: a public file in, a table that the service takes out."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from latency.estimate import predict_us
from latency.formats import read_csv
from latency.table import LatencyTable
from search.architecture import Architecture
from search.choices import Choices
from search.space import preset
from tests.lutnas.conftest import PROGRAM, Service

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


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no such name")
def test_a_table_that_goes_to_stdout_is_all_that_comes_there(tmp_path: Path) -> None:
    (file := tmp_path / "public.json").write_text(json.dumps({KEY: {"mean": 1.5}}))
    asked = ["tables", "import", "proxyless", str(file), *SAID, "--unit", "ms", "--output", "/dev/stdout"]
    done = subprocess.run([*PROGRAM, *asked], capture_output=True, text=True, check=True)
    assert len(read_csv(done.stdout.splitlines(keepends=True))) == 1
    assert "wrote 1 rows" in done.stderr


def test_positions_are_those_of_a_space(service: Service, tmp_path: Path) -> None:
    file, to = tmp_path / "pi4.json", tmp_path / "pi4.csv"
    file.write_text(json.dumps([[1.0] * 9]))
    asked = ["tables", "import", "fbnet-positional", str(file), *SAID, "--unit", "us", "--output", str(to)]
    wrong = service.lutnas(*asked, "--space", "fbnet-cifar")
    assert (wrong.exit_code, "the file has 1 layers with values, the space 22" in wrong.stderr) == (1, True)
    unknown = service.lutnas(*asked, "--space", "nowhere")
    assert (unknown.exit_code, "none of the preset spaces" in unknown.stderr) == (2, True)


def test_positional_rows_are_of_full_width_in_fp32_whatever_the_space_offers(service: Service, tmp_path: Path) -> None:
    offering = preset("fbnet-cifar").offering(Choices(precision=("fp32", "w8a8"), width=(1.0, 0.5)))
    space, file = tmp_path / "space.json", tmp_path / "pi4.json"
    space.write_text(offering.model_dump_json())
    file.write_text(json.dumps([[float(10 * layer + value) for value in range(9)] for layer in range(22)]))
    tables = list[LatencyTable]()
    for name in (str(space), "fbnet-cifar"):
        to = tmp_path / "pi4.csv"
        asked = ["--space", name, "--unit", "us", "--output", str(to)]
        service.data("tables", "import", "fbnet-positional", str(file), *SAID, *asked)
        with to.open(newline="") as lines:
            tables.append(read_csv(lines))
    assert tables[0] == tables[1]
    assert {operator.weight_bits for operator in tables[0]} == {32}


def test_a_pickle_is_not_read(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "latency.pkl"
    file.write_bytes(b"\x80\x04\x95\xff\xff")
    done = service.lutnas(
        "tables", "import", "tf-nas", str(file), *SAID, "--unit", "ms", "--output", str(tmp_path / "x")
    )
    assert (done.exit_code, "a pickle is not read" in done.stderr) == (2, True)


def networks(tmp_path: Path, count: int = 40) -> Path:
    """Networks of fbnet-mini that take 2 ms, and a tenth of one for each layer that is no skip."""
    rng, layers = random.Random(0), preset("fbnet-mini").layers
    lines = ["architecture,pi4_ms"]
    for _ in range(count):
        names = [rng.choice(["skip", "k3_e1"]) for _ in layers]
        lines.append(f"{' '.join(names)},{2 + 0.1 * sum(name != 'skip' for name in names)}")
    file = tmp_path / "networks.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_table_is_fitted_from_networks_and_says_so(service: Service, tmp_path: Path) -> None:
    to = tmp_path / "fitted.csv"
    asked = ["--space", "fbnet-mini", "--device", "pi4", "--runtime", "tflite", "--output", str(to)]
    done = service.data("tables", "fit", str(networks(tmp_path)), "--column", "pi4_ms", *asked)
    assert done["held_out"]["networks"] == 40
    assert done["held_out"]["mape"] < 0.01
    with to.open(newline="") as lines:
        table = read_csv(lines)
    assert table.info.note.startswith("fitted from 40 whole networks")
    space = preset("fbnet-mini")
    assert predict_us(table, Architecture.of(space, ["k3_e1"] * len(space.layers)).operators()) == pytest.approx(
        2000 + 100 * len(space.layers), rel=0.01
    )


@pytest.mark.parametrize(
    ("content", "code", "why"),
    [
        ("architecture,pi4_ms\nskip,2\n".encode("utf-16"), 2, "networks.csv: is no text in UTF-8"),
        (b"architecture,pi4_ms\n" + b"k" * 200_000 + b",2\n", 1, "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_why(
    service: Service, tmp_path: Path, content: bytes, code: int, why: str
) -> None:
    file = tmp_path / "networks.csv"
    file.write_bytes(content)
    asked = ["--space", "fbnet-mini", "--device", "pi4", "--runtime", "tflite", "--output", str(tmp_path / "x")]
    done = service.lutnas("tables", "fit", str(file), "--column", "pi4_ms", *asked)
    assert (done.exit_code, why in done.stderr) == (code, True), done.stderr


def test_what_is_wrong_with_networks_is_named_by_line(service: Service, tmp_path: Path) -> None:
    asked = ["--space", "fbnet-mini", "--device", "pi4", "--runtime", "tflite", "--output", str(tmp_path / "x")]
    file = networks(tmp_path, 20)
    few = service.lutnas("tables", "fit", str(networks(tmp_path, 3)), "--column", "pi4_ms", *asked)
    assert (few.exit_code, "at least 16 have to be measured" in few.stderr) == (1, True)
    assert service.lutnas("tables", "fit", str(file), "--column", "pi4", *asked).exit_code == 2
    assert "no column 'pi5_ms'" in service.lutnas("tables", "fit", str(file), "--column", "pi5_ms", *asked).stderr
    file.write_text("architecture,pi4_ms\nskip k3_e1,2.0\n")
    short = service.lutnas("tables", "fit", str(file), "--column", "pi4_ms", *asked)
    assert (short.exit_code, "line 2: layers: 2 choices for the" in short.stderr) == (1, True)
    for head, missing in (("pi4_ms,architecture", "architecture"), ("architecture,pi4_ms", "pi4_ms")):
        file.write_text(f"{head}\n2.0\n")
        short = service.lutnas("tables", "fit", str(file), "--column", "pi4_ms", *asked)
        assert (short.exit_code, f"line 2: {missing}: the row ends before it" in short.stderr) == (1, True)
