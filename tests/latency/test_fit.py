"""Tables fitted from whole networks predict networks that they were not fitted from."""

import csv
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from latency.estimate import predict_us
from latency.fit import FitError, Network, fit_table
from latency.operator import BASE, Operator, with_boundaries
from latency.table import LatencyTable, TableInfo
from latency.trust import spearman, trust
from search.architecture import Architecture
from search.space import preset

INFO = TableInfo(device="d", runtime="r", threads=1, batch=1)
STEM = Operator("stem", 28, 28, 1, 0, 16, 1, 3)
IDENTITY = Operator("skip", 14, 14, 16, 0, 16, 1)


def block(c_mid: int, kernel: int = 3) -> Operator:
    return Operator("mbconv", 14, 14, 16, c_mid, 16, 1, kernel, 1)


BLOCKS = [block(c_mid, kernel) for c_mid in (16, 48, 96) for kernel in (3, 5)]
TRUE_US = {o: 3.0 + o.c_mid * o.kernel / 10 for o in BLOCKS} | {IDENTITY: 0.0, STEM: 20.0}


def networks(count: int, noise: float = 0.0) -> list[Network]:
    rng = random.Random(0)
    found = []
    for _ in range(count):
        operators = (STEM, *rng.choices([*BLOCKS, IDENTITY], k=6))
        exact = 50.0 + sum(TRUE_US[o] for o in operators)
        found.append(Network(operators, exact * rng.uniform(1 - noise, 1 + noise)))
    return found


def test_a_table_fitted_from_additive_networks_gives_each_operator_its_cost() -> None:
    fitted = fit_table(networks(60), INFO)
    assert fitted.held_out.mape < 1e-4
    for operator in BLOCKS:
        assert fitted.table.latency_us(operator) == pytest.approx(TRUE_US[operator], rel=1e-2)
    assert fitted.table.latency_us(BASE) == pytest.approx(70.0, rel=1e-2)  # the call and what stands everywhere
    assert fitted.table.latency_us(STEM) == 0.0
    assert IDENTITY not in fitted.table
    assert fitted.table.info == INFO


def test_networks_that_name_the_call_are_fitted_as_those_that_do_not() -> None:
    plain = networks(60)
    named = [Network((BASE, *network.operators), network.latency_us) for network in plain]
    assert fit_table(named, INFO).table == fit_table(plain, INFO).table


def test_changes_of_format_are_fitted_from_networks_that_mix_them() -> None:
    rng, found = random.Random(0), list[Network]()
    integer = {replace(o, weight_bits=8, activation_bits=8): us / 2 for o, us in TRUE_US.items() if o in BLOCKS}
    into, out = Operator("boundary", 14, 14, 16, activation_bits=8), Operator("boundary", 14, 14, 16)
    true_us = TRUE_US | integer | {into: 4.0, out: 7.0}
    for _ in range(160):
        operators = (BASE, *rng.choices([*BLOCKS, *integer, IDENTITY], k=6))
        found.append(Network(operators, 50.0 + sum(true_us.get(o, 0.0) for o in with_boundaries(operators))))
    fitted = fit_table(found, INFO)
    assert fitted.held_out.mape < 1e-3
    assert fitted.table.latency_us(into) == pytest.approx(4.0, rel=0.05)
    assert fitted.table.latency_us(out) == pytest.approx(7.0, rel=0.05)


def test_no_latency_of_a_fitted_table_is_below_zero() -> None:
    fitted = fit_table(networks(40, noise=0.5), INFO)
    assert all(entry.latency_us >= 0 and entry.samples == 40 for entry in fitted.table.entries.values())
    assert fitted.held_out.mape > 0.05


def test_too_few_networks_and_impossible_latencies_are_refused() -> None:
    with pytest.raises(FitError, match="15 networks: at least 16"):
        fit_table(networks(15), INFO)
    wrong = networks(20)
    wrong[7] = Network(wrong[7].operators, float("nan"))
    with pytest.raises(FitError, match=r"networks\[7\]: a latency of nan us"):
        fit_table(wrong, INFO)


def test_trust_compares_by_size_and_by_rank() -> None:
    found = trust([11.0, 20.0, 30.0, 36.0], [10.0, 20.0, 40.0, 36.0])
    assert found.networks == 4
    assert found.mape == pytest.approx((0.1 + 0.25) / 4)
    assert found.worst == pytest.approx(0.25)
    assert found.spearman == pytest.approx(0.8)
    assert trust([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).spearman is None  # equal predictions have no ranks


def test_equal_values_share_their_mean_rank() -> None:
    from numpy import array
    from scipy.stats import spearmanr

    a, b = array([1.0, 2.0, 2.0, 5.0, 4.0]), array([3.0, 1.0, 4.0, 4.0, 4.0])
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


@pytest.mark.skipif("LUTNAS_REAL_TABLES" not in os.environ, reason="LUTNAS_REAL_TABLES names no folder of real tables")
@pytest.mark.parametrize(("device", "most"), [("titanxp_1", 0.007), ("gold_6240", 0.026)])
def test_a_table_fitted_from_300_measured_networks_predicts_the_other_100(device: str, most: float) -> None:
    space = preset("fbnet-cifar")
    with (Path(os.environ["LUTNAS_REAL_TABLES"]) / "luts" / "fbnet_cifar_measured.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [
        Network(
            tuple(Architecture.of(space, row["architecture"].split()).operators()), 1000 * float(row[f"{device}_ms"])
        )
        for row in rows
    ]
    fitted = fit_table(measured[:300], INFO)
    assert fitted.table.missing(space.operators()) == []
    assert error_on(fitted.table, measured[300:]) <= most
    assert fitted.held_out.mape == pytest.approx(error_on(fitted.table, measured[300:]), rel=0.15)


def error_on(table: LatencyTable, measured: list[Network]) -> float:
    return trust([predict_us(table, n.operators) for n in measured], [n.latency_us for n in measured]).mape
