import numpy as np
import pytest

from latency.nonnegative import solve_nonnegative
from latency.profiler.attribute import Equations, check, count, fit, share
from latency.profiler.plan import Plan, make_plan
from search.choices import Choices
from search.space import preset

PLAN = make_plan(tuple(preset("fbnet-mini").operators()), seed=0)
MIXED = make_plan(tuple(preset("fbnet-mini").offering(Choices(precision=("fp32", "w8a8"))).operators()), seed=0)
N = len(PLAN.operators)


def measured(costs_us: np.ndarray, alone_us: np.ndarray, plan: Plan = PLAN) -> np.ndarray:
    """What a plan's graphs take where its rows cost `costs_us` in a chain, and `alone_us` beyond the call alone."""
    return np.concatenate([[alone_us[0]], alone_us[0] + alone_us[1:], count(plan, plan.chains) @ costs_us])


def test_costs_in_chains_are_found_though_every_operator_alone_takes_more() -> None:
    rng = np.random.default_rng(0)
    true_us = rng.uniform(5, 50, N)
    alone_us = true_us * rng.uniform(1.0, 1.4, N)
    costs = share(PLAN, measured(true_us, alone_us), rng)
    networks = count(PLAN, make_plan(PLAN.operators, seed=1).chains)
    truth, naive = networks @ true_us, networks @ alone_us
    assert np.abs(naive / truth - 1).mean() > 0.1
    assert np.abs(networks @ costs.latency_us / truth - 1).max() < 0.02
    assert (costs.p10_us <= costs.p90_us).all()


def test_what_changes_of_format_cost_is_found_from_chains_though_it_is_never_timed_alone() -> None:
    rng, operators = np.random.default_rng(0), len(MIXED.operators)
    true_us = np.concatenate([rng.uniform(5, 50, operators), rng.uniform(2, 12, len(MIXED.boundaries))])
    alone_us = count(MIXED, [(operator,) for operator in MIXED.operators]) @ true_us
    alone_us[1:] -= true_us[0]  # a piece of an integer network, alone, is paid for floats at its ends
    costs = share(MIXED, measured(true_us, alone_us, MIXED), rng)
    networks = count(MIXED, make_plan(MIXED.rows, seed=1).chains)
    truth = networks @ true_us
    without = networks[:, :operators] @ true_us[:operators]
    assert np.abs(without / truth - 1).mean() > 0.04
    assert np.abs(networks @ costs.latency_us / truth - 1).max() < 0.02


def test_costs_are_never_negative() -> None:
    true_us = np.full(N, 10.0)
    alone_us = true_us.copy()
    alone_us[1::7] = 0.0
    true_us[1::7] = -3.0  # neighbours that get faster by it
    assert share(PLAN, measured(true_us, alone_us), np.random.default_rng(0)).latency_us.min() >= 0.0


def test_the_fit_is_the_least_squares_answer_where_nothing_is_negative() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, (40, 6)).astype(float) + np.eye(40, 6)
    alone_us, chains_us = rng.uniform(5, 9, 5), counts @ rng.uniform(5, 9, 6)
    alone = np.eye(5, 6)
    alone[3, 5] = 2.0  # two changes of format, the last row
    given = Equations(counts, chains_us, alone, alone_us, np.append(alone_us, 7.0))
    rows = np.vstack(
        [counts / chains_us[:, None], 0.1 * alone / alone_us[:, None], 0.1 * np.eye(6)[5:] / 7.0],
    )
    expected = np.linalg.lstsq(rows, np.concatenate([np.ones(40), 0.1 * np.ones(5), [0.0]]), rcond=None)[0]
    np.testing.assert_allclose(fit(given, np.arange(40)), expected, rtol=1e-4)


def test_the_check_finds_no_error_where_costs_add_up_and_some_where_they_do_not() -> None:
    rng = np.random.default_rng(2)
    costs_us = rng.uniform(5, 50, N)
    exact = measured(costs_us, costs_us)
    noisy = exact * np.concatenate([np.ones(N), rng.uniform(0.9, 1.1, len(PLAN.chains))])
    assert check(PLAN, exact).worst < 0.001
    assert check(PLAN, noisy).mean == pytest.approx(0.05, abs=0.02)
    assert check(PLAN, exact).chains == len(PLAN.chains) // 5


def test_the_non_negative_answer_is_the_best_on_every_side() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        a = rng.standard_normal((30, 20))
        h, g = a.T @ a + 0.01 * np.eye(20), 5 * rng.standard_normal(20)
        x = solve_nonnegative(h, g)
        slope = h @ x - g
        assert (x >= 0).all()
        assert (slope[x == 0] > -1e-9).all()
        np.testing.assert_allclose(slope[x > 0], 0, atol=1e-9)
    assert (x == 0).any()
