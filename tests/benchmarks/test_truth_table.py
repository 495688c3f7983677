"""The table of truth: what is read from it, and what the one that stands in benchmarks/truth/ can tell apart."""

import statistics
from pathlib import Path

import pytest

from benchmarks._truth_table import FOLDER, Indices, Row, TruthTable, every_architecture, read_rows, write_rows
from latency.table import LatencyTable, TableInfo
from search.space import Head, Input, Space, Stage, Stem

ENOUGH = 5.0  # standard errors of a row, from the median within a budget to the best


@pytest.fixture(scope="module")
def truth() -> TruthTable:
    return TruthTable.load()


def small_space() -> Space:
    """Two layers, four architectures."""
    return Space(
        name="small",
        input=Input(channels=1, height=8, width=8),
        classes=10,
        stem=Stem(channels=8),
        stages=(Stage(channels=8, layers=2, candidates=("skip", "k3_e1")),),
        head=Head(channels=16),
    )


def small_table(accuracies: dict[Indices, tuple[float, ...]]) -> TruthTable:
    """Rows of the small space; each block costs 10 us."""
    names = ("skip", "k3_e1")
    rows = {i: Row(tuple(names[n] for n in i), 10.0 * sum(i), values, 1.0) for i, values in accuracies.items()}
    info = TableInfo(device="none", runtime="none", threads=1, batch=1)
    return TruthTable(small_space(), LatencyTable(info, {}), rows, {})


def test_the_best_is_chosen_on_other_seeds_than_it_is_scored_on() -> None:
    """The row whose luck lies in one seed is never paid for it: alone, its mean of 0.8 would win."""
    lucky, steady = (0.7, 0.7, 1.0), (0.78, 0.78, 0.78)
    table = small_table({(0, 0): lucky, (0, 1): steady})
    # Left out the third seed, steady is chosen (0.78); left out the first or second, lucky (0.85 on the others, 0.7).
    assert table.best(20.0) == pytest.approx((0.7 + 0.7 + 0.78) / 3)


def test_regret_is_against_the_best_that_the_budget_allows() -> None:
    table = small_table({(0, 0): (0.5, 0.5), (0, 1): (0.6, 0.6), (1, 0): (0.7, 0.7), (1, 1): (0.9, 0.9)})
    assert table.regret((0, 1), 10.0) == pytest.approx(0.1)
    assert table.regret((0, 1), 20.0) == pytest.approx(0.3)
    assert table.median(10.0) == pytest.approx(0.6)
    assert table.median(10.0, least_us=10.0) == pytest.approx(0.65)


def test_the_standard_error_is_that_of_a_mean_over_seeds() -> None:
    table = small_table({(0, 0): (0.5, 0.6), (1, 1): (0.9, 0.9)})
    assert table.row_standard_error == pytest.approx((0.005 / 2 / 2) ** 0.5)


def test_a_budget_below_all_rows_is_refused_with_what_is_least() -> None:
    with pytest.raises(ValueError, match=r"the least is 10\.00 us"):
        small_table({(0, 1): (0.5, 0.5)}).feasible(5.0)


def test_rows_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    rows = [Row(("skip", "k3_e1"), 12.3456, (0.7001, 0.8), 3.25), Row(("k3_e1", "skip"), 2.0, (0.5, 0.25), 1.0)]
    write_rows(tmp_path / "rows.csv", rows)
    assert read_rows(tmp_path / "rows.csv") == rows
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


def test_missing_architectures_are_named_so_that_a_run_can_go_on() -> None:
    table = small_table({(1, 1): (0.5, 0.5), (0, 0): (0.5, 0.5)})
    assert list(table.rows) == [(0, 0), (1, 1)]
    assert table.missing() == [(0, 1), (1, 0)]


def test_every_architecture_has_a_row_with_the_latency_that_its_table_predicts(truth: TruthTable) -> None:
    assert truth.missing() == []
    assert list(truth.rows) == list(every_architecture(truth.space))
    assert len(truth.rows) >= 200
    for indices, row in truth.rows.items():
        assert len(row.accuracies) >= 3
        assert truth.predicted_latency_us(indices) == pytest.approx(row.predicted_latency_us, abs=1e-4)


def test_best_and_median_lie_far_apart_in_every_budget(truth: TruthTable) -> None:
    """Else a search that does nothing would pass."""
    for max_us in truth.budgets_us():
        assert truth.standing(max_us).gap_in_standard_errors >= ENOUGH


def test_every_budget_binds(truth: TruthTable) -> None:
    """The most accurate architecture of all is out of reach, and the tightest budget costs more than noise."""
    budgets_us, rows = truth.budgets_us(), truth.rows.values()
    assert max(rows, key=lambda row: row.accuracy).predicted_latency_us > max(budgets_us)
    assert truth.best(budgets_us[0]) < truth.best(budgets_us[-1]) - 5 * truth.row_standard_error


def test_where_latency_is_spent_matters(truth: TruthTable) -> None:
    """Of what uses a budget up, some are worse than what costs much less: to spend is not enough."""
    for max_us in truth.budgets_us():
        near = [row.accuracy for row in truth.feasible(max_us) if row.predicted_latency_us >= 0.85 * max_us]
        assert min(near) < truth.best(0.85 * max_us) - 2 * truth.row_standard_error
        assert statistics.median(near) < truth.best(max_us)


def test_the_data_stay_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 200_000
