"""The peers of search_quality are what its docstring says."""

import statistics

import pytest

from benchmarks._truth_table import TruthTable
from benchmarks.search_quality import budget_of, ci_high, random_peer


def test_the_random_peer_takes_the_best_training_of_as_many_feasible_networks_as_it_may_train() -> None:
    truth = TruthTable.load()
    max_us = truth.budgets_us()[1]
    feasible = [indices for indices in truth.rows if budget_of(truth, max_us).total(indices) <= max_us]
    everything = random_peer(truth, max_us, seed=1, trainings=1000.0)
    assert everything == max(feasible, key=lambda indices: truth.rows[indices].accuracies[1])
    few = [random_peer(truth, max_us, seed, trainings=2.0) for seed in range(20)]
    assert set(few) <= set(feasible)
    regrets = [truth.regret(indices, max_us) for indices in few]
    assert statistics.fmean(regrets) > truth.regret(everything, max_us)


def test_the_upper_end_of_a_paired_interval_is_students() -> None:
    assert ci_high([-1.0, -2.0]) == pytest.approx(-1.5 + 12.706 * 0.5, abs=1e-3)
