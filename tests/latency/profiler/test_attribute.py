import numpy as np
import pytest

from latency.nonnegative import solve_nonnegative
from latency.profiler.attribute import check, count, fit, share
from latency.profiler.plan import make_plan
from search.space import preset

PLAN = make_plan(tuple(preset("fbnet-mini").operators()), seed=0)
N = len(PLAN.operators)


def measured(costs_us: np.ndarray, alone_us: np.ndarray) -> np.ndarray:
    """What the plan's graphs take where operators cost `costs_us` in a chain, and `alone_us` beyond the call alone."""
    return np.concatenate([[alone_us[0]], alone_us[0] + alone_us[1:], count(PLAN, PLAN.chains) @ costs_us])


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


def test_costs_are_never_negative() -> None:
    true_us = np.full(N, 10.0)
    alone_us = true_us.copy()
    alone_us[1::7] = 0.0
    true_us[1::7] = -3.0  # neighbours that get faster by it
    assert share(PLAN, measured(true_us, alone_us), np.random.default_rng(0)).latency_us.min() >= 0.0


def test_the_fit_is_the_least_squares_answer_where_nothing_is_negative() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, (40, 6)).astype(float) + np.eye(40, 6)
    alone_us, chains_us = rng.uniform(5, 9, 6), counts @ rng.uniform(5, 9, 6)
    rows = np.vstack([counts / chains_us[:, None], 0.1 * np.diag(1 / alone_us)])
    expected = np.linalg.lstsq(rows, np.concatenate([np.ones(40), 0.1 * np.ones(6)]), rcond=None)[0]
    np.testing.assert_allclose(fit(counts, chains_us, alone_us), expected, rtol=1e-4)


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
