"""Tables in the public layout, and pictures that are framed for a larger input."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks._tables import PUBLIC_HEADER, TableFileError, covered, framed, read_table, simulated
from latency.formats import write_csv
from latency.operator import BASE
from search.space import Input, preset
from tests.search.builders import tiny_digits


def public_file(folder: Path) -> Path:
    """Two layers of one shape that differ, as a fit gives them, and one skip that is no identity."""
    file = folder / "fbnet_cifar_phone.csv"
    rows = ["2,mbconv,32,32,24,24,1,3,6,1,2.0", "3,mbconv,32,32,24,24,1,3,6,1,4.0", "1,skip,32,32,16,24,1,,,,0.5"]
    file.write_text("\n".join([PUBLIC_HEADER, *rows]) + "\n")
    file.with_suffix(".json").write_text(json.dumps({"device": "phone", "base_ms": 7.5}))
    return file


def test_a_public_table_is_averaged_over_layers_of_one_shape_and_keeps_its_base(tmp_path: Path) -> None:
    table, space = read_table(public_file(tmp_path)), preset("fbnet-cifar")
    by_key = {operator.key: entry for operator, entry in table.entries.items()}
    assert table.info.device == "phone"
    assert by_key["mbconv 32x32 24-144-24 s1 k3"].latency_us == 3000.0
    assert by_key["skip 32x32 16-0-24 s1"].latency_us == 500.0
    assert {entry.provenance for entry in by_key.values()} == {"published"}
    assert table.latency_us(BASE) == 7500.0
    assert table.latency_us(space.stem_operator) == 0.0


def test_a_table_of_our_own_is_read_as_it_stands(tmp_path: Path) -> None:
    table = simulated("here", lambda operator: operator.h + 1.0, preset("fbnet-mini"))
    (tmp_path / "here.csv").write_text("".join(write_csv(table.info, table.entries.items())))
    assert read_table(tmp_path / "here.csv").entries == table.entries


def test_a_table_is_taken_for_the_space_that_it_covers_or_refused_with_what_lacks(tmp_path: Path) -> None:
    table = simulated("here", lambda operator: 1.0, preset("fbnet-mini"))
    assert covered(table, ["fbnet-cifar", "fbnet-mini"]).name == "fbnet-mini"
    with pytest.raises(TableFileError, match=r"here covers none .*fbnet-cifar: \d+ operators lack"):
        covered(table, ["fbnet-cifar"])


def test_framed_pictures_keep_what_they_show() -> None:
    digits = tiny_digits()
    larger = framed(digits, Input(channels=3, height=12, width=9))
    assert larger.input == Input(channels=3, height=12, width=9)
    assert np.array_equal(larger.x_train[:, 1, 2:10, 0:8], digits.x_train[:, 0])
    assert int(larger.x_test.sum(dtype=np.int64)) == 3 * int(digits.x_test.sum(dtype=np.int64))
    assert framed(digits, digits.input) is digits
    with pytest.raises(ValueError, match="do not fit into 1x6x8"):
        framed(digits, Input(channels=1, height=6, width=8))
