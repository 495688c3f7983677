import csv
import os
from pathlib import Path

import pytest

from benchmarks._tables import read_table
from latency.estimate import parts, predict_us
from latency.operator import BASE, Operator, boundary
from latency.table import Entry, LatencyTable, MissingOperator, TableInfo
from search.architecture import Architecture
from search.space import preset

INFO = TableInfo(device="d", runtime="r", threads=1, batch=1)


def test_a_network_takes_the_base_and_the_sum_of_its_operators() -> None:
    block, identity = Operator("mbconv", 14, 14, 24, 48, 24, 1, 3, 1), Operator("skip", 14, 14, 24, 0, 24, 1)
    table = LatencyTable(INFO, {BASE: Entry(10.0), block: Entry(5.0)})
    assert predict_us(table, [block, identity, block]) == 20.0


def test_a_network_with_an_operator_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(MissingOperator):
        predict_us(LatencyTable(INFO, {BASE: Entry(10.0)}), [Operator("stem", 28, 28, 1, 0, 16, 1, 3)])


def test_the_parts_of_a_network_have_their_changes_of_format_and_add_up() -> None:
    stem, integer = Operator("stem", 28, 28, 1, 0, 16, 1, 3), Operator("skip", 28, 28, 16, 0, 24, 1, 0, 0, 8, 8)
    change = boundary(integer)
    table = LatencyTable(INFO, {BASE: Entry(10.0), stem: Entry(5.0), integer: Entry(3.0), change: Entry(0.5)})
    found = list(parts(table, [stem, integer]))
    assert [part.rows for part in found] == [(stem,), (change, integer)]
    assert [part.latency_us for part in found] == [5.0, 3.5]
    assert predict_us(table, [stem, integer]) == 10.0 + sum(part.latency_us for part in found)


@pytest.mark.skipif("LUTNAS_REAL_TABLES" not in os.environ, reason="LUTNAS_REAL_TABLES names no folder of real tables")
@pytest.mark.parametrize("device", ["raspi4", "pixel3"])
def test_four_hundred_measured_networks_are_predicted_from_a_public_table(device: str) -> None:
    folder, space = Path(os.environ["LUTNAS_REAL_TABLES"]) / "luts", preset("fbnet-cifar")
    table = read_table(folder / f"fbnet_cifar_{device}.csv")
    assert table.missing(space.operators()) == []
    with (folder / "fbnet_cifar_measured.csv").open(newline="") as file:
        networks = list(csv.DictReader(file))
    assert len(networks) == 400
    for network in networks:
        architecture = Architecture.of(space, network["architecture"].split())
        predicted_ms = predict_us(table, architecture.operators()) / 1000
        assert predicted_ms == pytest.approx(float(network[f"{device}_ms"]), abs=1e-4)
