"""What joint search is compared with is fair: budgets bind, baselines hold them, gains are paired."""

import pytest

from benchmarks._joint_methods import METHODS
from benchmarks._joint_task import (
    BUDGET_SHARES,
    INT8,
    METRICS,
    PRECISIONS,
    WIDTHS,
    Task,
    cost_of,
    in_float,
    int8_ratio,
    offering,
)
from benchmarks.joint_quality import Cell, cells, ci_low, gains
from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable, TableInfo
from search.budget import reach
from search.costs import macs
from search.derive import solve
from search.space import Space


def float_table() -> LatencyTable:
    """As if a thousand multiply-adds took a microsecond."""
    operators = [*map(in_float, offering(PRECISIONS["cpu"], WIDTHS).operators()), BASE]
    return LatencyTable(
        TableInfo(device="d", runtime="r", threads=1, batch=1), {o: Entry(macs(o) / 1000) for o in operators}
    )


def tasks() -> list[Task]:
    return [Task(metric, share, cost_of(metric, float_table())) for metric in METRICS for share in BUDGET_SHARES]


def block(c_mid: int, weight_bits: int = 8, activation_bits: int = 8) -> Operator:
    return Operator("mbconv", 7, 7, 16, c_mid, 16, 1, 3, 1, weight_bits, activation_bits)


@pytest.mark.parametrize("task", tasks(), ids=lambda task: f"{task.metric}-{task.budget_share}")
def test_every_budget_binds_and_every_method_can_hold_it(task: Task) -> None:
    for precisions in ([INT8.name], task.precisions):
        space = offering(precisions, WIDTHS)
        budget = task.budget(space)
        least, greatest = reach(budget)
        assert least < budget.maximum < greatest / 1.5
    assert [precision for precision, _ in task.compressions()] == list(task.precisions)
    uniform = [offering(task.precisions, [factor]) for factor in task.factors()]
    one_after_the_other = [offering([precision], [factor]) for precision, factor in task.compressions()]
    for space in uniform + one_after_the_other:
        assert task.budget(space).total(solve(flat(space), [task.budget(space)])) <= task.maximum


def flat(space: Space) -> list[list[float]]:
    """Every choice worth the same."""
    return [[0.0] * len(layer.choices) for layer in space.layers]


def test_compressed_choices_stand_in_the_order_of_the_float_ones() -> None:
    """`sequential` gives them what was learnt in float32."""
    plain = offering(["fp32"], [1.0])
    for width in WIDTHS:
        compressed = offering(["w4a4"], [width])
        for layer, narrow in zip(plain.layers, compressed.layers, strict=True):
            kernels = [choice.candidate.kernel for choice in layer.choices]
            assert kernels == [choice.candidate.kernel for choice in narrow.choices]


def test_simulated_rows_follow_the_ratio_of_their_expansion_and_say_what_they_are() -> None:
    cost = cost_of("cpu", float_table())
    assert int8_ratio(block(16)) == pytest.approx(0.92)
    assert int8_ratio(block(96)) == pytest.approx(1.62)
    assert int8_ratio(block(56)) == pytest.approx(1.27)
    wide = next(o for o in offering(["w8a8"], [1.0]).operators() if o.kind == "mbconv")
    assert cost(wide) == pytest.approx(cost(in_float(wide)) / 1.62)


def test_gains_are_paired_by_budget_and_seed() -> None:
    accuracies = {("joint", 0): 0.80, ("joint", 1): 0.70, ("uniform_int8", 0): 0.79, ("uniform_int8", 1): 0.68}
    runs = [
        {**Cell("size", 0.167, seed, method)._asdict(), "accuracies": [value]}
        for (method, seed), value in accuracies.items()
    ]
    found = gains([*runs, {**Cell("size", 0.333, 0, "uniform_int8")._asdict(), "accuracies": [0.1]}])
    low = ci_low([1.0, 2.0])
    assert found == {"size": {"uniform_int8": {"mean": 1.5, "ci_low": pytest.approx(low, abs=1e-3)}}}
    assert low == pytest.approx(1.5 - 12.706 * 0.5, abs=1e-3)


def test_each_pair_has_all_methods() -> None:
    found = cells(METRICS, 3)
    assert len(set(found)) == len(found) == len(METRICS) * len(BUDGET_SHARES) * 3 * len(METHODS)
