"""What joint search is compared with is fair: budgets bind, baselines hold them, gains are paired."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks._joint_methods import METHODS, SEARCH, Tuning
from benchmarks._joint_pictures import PAIRS, overlaid, untested
from benchmarks._joint_runs import TRAININGS, Cell, about, cell_named, cells, training_seeds
from benchmarks._joint_task import (
    BUDGET_SHARES,
    INT8,
    METRICS,
    PRECISIONS,
    WIDTHS,
    Task,
    cost_of,
    offering,
)
from benchmarks._kept import Kept
from benchmarks.joint_quality import ci_low, gains, judged, main, training_points
from latency.operator import Operator
from latency.table import Entry, LatencyTable, TableInfo
from search.budget import reach
from search.costs import macs
from search.datasets import ImageData
from search.derive import solve
from search.machine import use_threads
from search.space import Space
from tests.search.builders import tiny_digits


def cpu_table() -> LatencyTable:
    """As if a thousand multiply-adds took a microsecond, two thirds of it in int8, and a change of format two."""
    info = TableInfo(device="d", runtime="r", threads=1, batch=1)
    return LatencyTable(info, {o: Entry(_made_up(o)) for o in offering(PRECISIONS["cpu"], WIDTHS).operators()})


def _made_up(operator: Operator) -> float:
    if operator.kind == "boundary":
        return 2.0
    return macs(operator) / 1000 * (0.67 if operator.is_integer else 1.0)


def tasks() -> list[Task]:
    shares = [(metric, share) for metric in METRICS for share in BUDGET_SHARES[metric]]
    return [Task(metric, share, cost_of(metric, cpu_table())) for metric, share in shares]


def block(c_mid: int, weight_bits: int = 8, activation_bits: int = 8) -> Operator:
    return Operator("mbconv", 7, 7, 16, c_mid, 16, 1, 3, 1, weight_bits, activation_bits)


@pytest.mark.parametrize("task", tasks(), ids=lambda task: f"{task.metric}-{task.budget_share}")
def test_every_budget_binds_and_every_method_can_hold_it(task: Task) -> None:
    for precisions in ([INT8.name], task.precisions):
        space = offering(precisions, WIDTHS)
        budget = task.budget(space)
        least, greatest = reach(budget)
        assert least < budget.maximum < greatest / 1.5
    assert task.factors()
    assert INT8.name in dict(task.compressions())
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


def test_this_cpu_is_judged_by_its_measured_rows_changes_of_format_included() -> None:
    table = cpu_table()
    budget = Task("cpu", 0.4, cost_of("cpu", table)).budget(offering(PRECISIONS["cpu"], WIDTHS))
    assert budget.boundaries is not None
    wide = next(o for o in offering(["w8a8"], [1.0]).operators() if o.kind == "mbconv")
    assert cost_of("cpu", table)(wide) == pytest.approx(0.67 * macs(wide) / 1000)


def results(**by_share: float) -> list[dict[str, float]]:
    return [{"budget_share": float(share[1:]), "accuracy": value} for share, value in by_share.items()]


def test_gains_are_paired_by_budget_and_seed() -> None:
    runs = [
        {**Cell("size", 0, "joint")._asdict(), "results": results(_1=0.80, _2=0.70)},
        {**Cell("size", 0, "uniform_int8")._asdict(), "results": results(_1=0.79, _2=0.68)},
        {**Cell("size", 1, "uniform_int8")._asdict(), "results": results(_1=0.1)},
    ]
    low = pytest.approx(1.5 - 12.706 * 0.5, abs=1e-3)
    told = {"pairs": 2, "mean": 1.5, "ci_low": low, "by_seed": {"0": 1.5}, "ci_low_by_seed": None}
    assert gains(runs) == {"size": {"uniform_int8": told}}


def test_a_gain_is_told_by_seed_as_well_since_pairs_of_one_search_share_it() -> None:
    runs = [
        {**Cell("size", seed, method)._asdict(), "results": results(_1=accuracy, _2=accuracy + 0.1)}
        for seed, joint in ((0, 0.71), (1, 0.73))
        for method, accuracy in (("joint", joint), ("uniform_int8", 0.70))
    ]
    told = gains(runs)["size"]["uniform_int8"]
    assert told["by_seed"] == {"0": pytest.approx(1.0), "1": pytest.approx(3.0)}
    assert told["ci_low_by_seed"] == ci_low([1.0, 3.0]) == pytest.approx(2.0 - 12.706, abs=1e-3)
    assert told["ci_low"] == pytest.approx(2.0 - 3.182 * (4 / 3 / 4) ** 0.5, abs=1e-3)


def test_kept_runs_are_judged_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, other = (kept_at(tmp_path / f"{name}.jsonl") for name in ("runs", "other"))
    for seed, method, accuracy in ((5, "joint", 0.7), (5, "uniform_int8", 0.68), (6, "joint", 0.8)):
        accuracies = {"accuracy": accuracy, "accuracies": [accuracy] * 2}
        result = {"budget_share": 1.5, "used": 0.9, "derived": [method], **accuracies}
        both = [result, {**result, "budget_share": 2.0, "used": 1.0}]
        machine = {"environment": {"processor": f"of {method}"}, "search_seconds": 10.0 * seed}
        file = kept if method == "joint" else other
        file.add({**Cell("size", seed, method)._asdict(), "results": both, **machine})
    monkeypatch.setattr("sys.argv", ["joint_quality", "--json", "--judge", str(kept.file), str(other.file)])
    main()
    told = json.loads(capsys.readouterr().out)
    assert (told["gain_points"]["size"]["uniform_int8"]["mean"], told["of_this_code"]) == (2.0, False)
    assert told["codes"] == {"another": 3}
    assert told["search_seconds"] == {"size": {"joint": 55.0, "uniform_int8": 50.0}}
    assert told["used"]["size"]["joint"] == {"mean": 0.95, "least": 0.9}
    assert told["machines"] == ["of joint", "of uniform_int8"]
    assert told["runs"] == [*kept.runs, *other.runs]


def kept_at(file: Path, *, code: str = "another", epochs: int = 2, measured: str = "") -> Kept:
    return Kept(file, {"code": code, "epochs": epochs}, lambda: measured)


@pytest.mark.parametrize(
    ("how", "told"),
    [({"epochs": 3}, "differ in epochs"), ({"code": "third"}, "is of other code"),
     ({"measured": "another table"}, "another table"), ({"method": "joint"}, "stands in")],
)  # fmt: skip
def test_runs_that_cannot_stand_side_by_side_are_not_paired(tmp_path: Path, how: dict[str, Any], told: str) -> None:
    first = kept_at(tmp_path / "first.jsonl")
    first.add({**Cell("cpu", 5, "joint")._asdict(), "results": []})
    cell = Cell("cpu", 5, how.pop("method", "uniform_int8"))
    second = kept_at(tmp_path / "second.jsonl", **how)
    second.add({**cell._asdict(), "results": []})
    assert first.file is not None
    assert second.file is not None
    with pytest.raises(ValueError, match=told):
        judged([first.file, second.file])


def test_a_run_is_named_by_metric_seed_and_method() -> None:
    assert cell_named("cpu:19:joint") == Cell("cpu", 19, "joint")
    for wrong in ("cpu:19", "gpu:19:joint", "cpu:19:random", "cpu:x:joint"):
        with pytest.raises(ValueError, match=r"\w"):
            cell_named(wrong)


def test_the_spread_of_one_training_is_that_within_networks_each_counted_once() -> None:
    first = {"derived": ["a"], "accuracies": [0.80, 0.82]}
    runs = [
        {**Cell("size", 1, "joint")._asdict(), "results": [first, first]},
        {**Cell("size", 1, "uniform_int8")._asdict(), "results": [first]},
        {**Cell("size", 2, "joint")._asdict(), "results": [{"derived": ["b"], "accuracies": [0.5, 0.5]}]},
    ]
    assert training_points(runs) == {"size": pytest.approx(1.0)}


def test_trainings_share_their_seeds_with_no_search_nor_with_those_of_another() -> None:
    searches = {cell.seed for cell in cells(METRICS, 9)}
    seeds = [seed for search in searches for seed in training_seeds(search)]
    assert len(set(seeds)) == len(seeds) == len(searches) * TRAININGS
    assert not searches & set(seeds)


def test_a_picture_of_a_pair_shows_both_garments_and_each_pair_has_a_class() -> None:
    x = np.eye(10, dtype="uint8").reshape(10, 1, 1, 10) * 200  # garment n lights pixel n
    x_pairs, y_pairs = overlaid(x, np.arange(10, dtype="int64"), 2000, seed=1)
    shown = [tuple(np.flatnonzero(picture.ravel())) for picture in x_pairs]
    assert all(len(both) == 2 for both in shown)
    assert len(set(shown)) == PAIRS == 45
    numbered = dict(zip(shown, y_pairs.tolist(), strict=True))
    assert [numbered[both] for both in sorted(numbered)] == list(range(45))
    assert [numbered[both] for both in shown] == y_pairs.tolist()
    again, other = overlaid(x, np.arange(10), 2000, seed=1), overlaid(x, np.arange(10), 2000, seed=2)
    assert np.array_equal(again[1], y_pairs)
    assert not np.array_equal(other[1], y_pairs)


def test_methods_are_handed_no_test_picture() -> None:
    digits = large_digits()
    handed = untested(digits)
    assert np.array_equal(handed.x_test, digits.x_train[:1])
    assert np.array_equal(handed.y_test, digits.y_train[:1])
    assert np.array_equal(handed.x_train, digits.x_train)


def large_digits() -> ImageData:
    """Real ones, as large as the space's pictures: each pixel thrice, and an edge of two."""
    digits = tiny_digits()
    train, test = (
        np.pad(np.kron(x, np.ones((1, 1, 3, 3), x.dtype)), [(0, 0), (0, 0), (2, 2), (2, 2)])
        for x in (digits.x_train, digits.x_test)
    )
    return replace(digits, x_train=train, x_test=test, classes=PAIRS)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_derives_what_it_may_within_every_budget(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._joint_methods.SEARCH", SEARCH.model_copy(update={"evidence_samples": 16}))
    monkeypatch.setattr("benchmarks._joint_methods.FINALISTS", 8)
    use_threads(1)  # as the benchmark: two processes of two threads on two cores wait for each other without end
    tasks = [Task("size", share, cost_of("size", None)) for share in BUDGET_SHARES["size"]]
    found = list(METHODS[method](tasks, Tuning(untested(large_digits()), seed=0)))
    assert len(found) == len(tasks)
    for task, architecture in zip(tasks, found, strict=True):
        assert task.budget(architecture.space).total(architecture.indices) <= task.maximum
        precisions = {choice.precision for choice in architecture.layers}
        assert precisions <= ({INT8.name} if method == "uniform_int8" else set(task.precisions))
        assert method != "sequential" or len(precisions) == 1
        offered = architecture.space.choices.width
        assert offered == WIDTHS if method in ("joint", "uniform_int8") else len(offered) == 1


def test_kept_runs_depend_on_no_machine() -> None:
    """Each tells its own, so that the file goes on on another."""
    assert "environment" not in about()


def test_each_pair_has_all_methods() -> None:
    found = cells(METRICS, 3)
    assert len(set(found)) == len(found) == len(METRICS) * 3 * len(METHODS)
    seeds = {metric: {cell.seed for cell in found if cell.metric == metric} for metric in METRICS}
    new = {16, 17, 18}  # those before chose the protocol or mended the engine, and 16 did so on this CPU
    assert seeds == {"size": new, "published": new, "cpu": {19, 20, 21}}
