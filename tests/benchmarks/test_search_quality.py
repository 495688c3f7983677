"""The peers of search_quality are what its docstring says."""

import statistics

import pytest

from benchmarks._truth_table import TruthTable
from benchmarks.search_quality import budget_of, ci_high, compared, mean_over, random_peer, random_regret


def test_the_random_peer_takes_the_best_training_of_as_many_feasible_networks_as_it_may_train() -> None:
    truth = TruthTable.load()
    max_us = truth.budgets_us()[1]
    feasible = [indices for indices in truth.rows if budget_of(truth, max_us).total(indices) <= max_us]
    everything = random_peer(truth, max_us, seed=1, trainings=1000.0)
    assert everything == max(feasible, key=lambda indices: truth.rows[indices].accuracies[1])
    few = [random_peer(truth, max_us, 1, trainings=2.0, draw=draw) for draw in range(20)]
    assert set(few) <= set(feasible)
    assert len(set(few)) > 5
    assert random_regret(truth, max_us, 1, trainings=2.0) > random_regret(truth, max_us, 1, trainings=1000.0)
    assert random_regret(truth, max_us, 1, trainings=1000.0) == pytest.approx(truth.regret(everything, max_us))


def test_the_random_peer_may_be_asked_to_spend_the_budget() -> None:
    truth = TruthTable.load()
    max_us = truth.budgets_us()[1]
    drawn = {random_peer(truth, max_us, 1, trainings=1.0, draw=draw, share=0.95) for draw in range(50)}
    totals = [budget_of(truth, max_us).total(indices) for indices in drawn]
    assert len(drawn) > 3
    assert all(0.95 * max_us <= total <= max_us for total in totals)


def test_a_budgets_mean_architecture_trains_as_long_as_its_rows_say() -> None:
    truth = TruthTable.load()
    max_us = truth.budgets_us()[0]
    longest = max(truth.rows, key=lambda indices: truth.rows[indices].training_seconds)
    assert mean_over(truth, max_us, longest) < 1
    shares = [mean_over(truth, max_us, i) ** -1 for i, row in truth.rows.items() if row.predicted_latency_us <= max_us]
    assert statistics.fmean(shares) == pytest.approx(1.0)


def test_a_peer_is_compared_pair_by_pair_and_seed_by_seed() -> None:
    ours, peers = [1.0, 2.0, 1.0, 2.0], [2.0, 4.0, 2.0, 4.0]  # two budgets, two seeds
    found = compared(ours, peers, 2)
    assert found["regret"] == 3.0
    assert found["ci_high_by_seed"] == pytest.approx(ci_high([-1.0, -2.0]), abs=1e-3)
    assert found["ci_high"] == pytest.approx(ci_high([-1.0, -2.0, -1.0, -2.0]), abs=1e-3)
    assert compared(ours, peers, 1)["ci_high_by_seed"] is None


def test_the_upper_end_of_a_paired_interval_is_students() -> None:
    assert ci_high([-1.0, -2.0]) == pytest.approx(-1.5 + 12.706 * 0.5, abs=1e-3)
