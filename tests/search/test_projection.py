"""The projection against sums over all architectures, one by one."""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from search.budget import Boundaries, Budget
from search.projection import Projection

LAYERS, CHOICES, FORMATS = 4, 5, 3
ARCHITECTURES = list(itertools.product(range(CHOICES), repeat=LAYERS))


def a_budget(rng: random.Random, share: float, *, changes: float = 0.0, name: str = "pi4") -> Budget:
    """Random costs, under `share` of the way from the least total to the greatest; the last choices pass formats on."""
    costs_LK = [[rng.uniform(0.2, 2.0) for _ in range(CHOICES)] for _ in range(LAYERS)]
    boundaries = None
    if changes:
        costs_LFF = [
            [[0.0 if a == b else rng.uniform(0.5, 1.5) * changes for b in range(FORMATS)] for a in range(FORMATS)]
            for _ in range(LAYERS + 1)
        ]
        boundaries = Boundaries([[0, 1, 1, 2, None]] * LAYERS, costs_LFF)
    free = Budget(name, costs_LK, 0.5, 1.0, boundaries=boundaries)
    totals = [free.total(a) for a in ARCHITECTURES]
    return Budget(name, costs_LK, 0.5, min(totals) + share * (max(totals) - min(totals)), boundaries=boundaries)


def log_p_of(rng: random.Random) -> np.ndarray:
    """Log-probabilities of independent layers."""
    logits = np.array([[rng.gauss(0, 1.5) for _ in range(CHOICES)] for _ in range(LAYERS)])
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def totals_of(budget: Budget) -> np.ndarray:
    return np.array([budget.total(a) / budget.maximum for a in ARCHITECTURES])


def tilted(log_p_LK: np.ndarray, total_CA: np.ndarray, multiplier_C: np.ndarray) -> np.ndarray:
    """Probability of each architecture."""
    log = np.array([sum(log_p_LK[layer, k] for layer, k in enumerate(a)) for a in ARCHITECTURES])
    weight = np.exp(log - multiplier_C @ total_CA - max(log - multiplier_C @ total_CA))
    return np.asarray(weight / weight.sum())


def marginals(q_A: np.ndarray) -> np.ndarray:
    found = np.zeros((LAYERS, CHOICES))
    for q, architecture in zip(q_A, ARCHITECTURES, strict=True):
        found[range(LAYERS), architecture] += q
    return found


@pytest.mark.parametrize("changes", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_one_tilt_of_all_architectures_that_holds_the_budget(seed: int, share: float, changes: float) -> None:
    rng = random.Random(seed)
    budget, log_p_LK = a_budget(rng, share, changes=changes), log_p_of(rng)
    total_CA = totals_of(budget)[None]

    def exceeds(multiplier: float) -> float:
        return float(tilted(log_p_LK, total_CA, np.array([multiplier])) @ total_CA[0] - 1.0)

    by_hand = tilted(log_p_LK, total_CA, np.array([brentq(exceeds, 0.0, 1e4)]))
    found = Projection([budget], CHOICES).nearest(log_p_LK, np.ones(1))
    np.testing.assert_allclose(found.q_LK, marginals(by_hand), atol=1e-4)
    np.testing.assert_allclose(found.share_C, [1.0], rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_two_budgets_are_held_by_the_nearest_distribution_of_all_in_either_order(seed: int) -> None:
    rng = random.Random(seed)
    budgets = [a_budget(rng, 0.2, changes=1.0), a_budget(rng, 0.2, changes=2.0, name="pixel3")]
    log_p_LK, total_CA = log_p_of(rng), np.stack([totals_of(budget) for budget in budgets])

    def dual(log_multiplier_C: np.ndarray) -> float:
        multiplier_C = np.exp(log_multiplier_C)
        log = np.array([sum(log_p_LK[layer, k] for layer, k in enumerate(a)) for a in ARCHITECTURES])
        return float(np.logaddexp.reduce(log - multiplier_C @ (total_CA - 1.0)))

    best = minimize(dual, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000})
    by_hand = tilted(log_p_LK, total_CA, np.exp(best.x))
    assert (total_CA @ by_hand).max() == pytest.approx(1.0, rel=1e-4)
    for pair in (budgets, budgets[::-1]):
        found = Projection(pair, CHOICES).nearest(log_p_LK, np.ones(2))
        np.testing.assert_allclose(found.q_LK, marginals(by_hand), atol=1e-4)
        assert (found.share_C <= 1.0 + 1e-4).all()


def test_budgets_that_pull_apart_are_held_where_one_architecture_holds_both() -> None:
    """One likes float, the other integers: multipliers climb together."""
    rng = random.Random(7)
    costs = [[[rng.uniform(0.8, 1.2) * cost for cost in row] for _ in range(6)] for row in ((2, 1, 4, 2), (1, 2, 2, 4))]
    boundaries = Boundaries([[0, 1, 0, 1]] * 6, [[[0.0, 0.3], [0.3, 0.0]]] * 7)
    free = [Budget(name, rows, 0.5, 1.0, boundaries=boundaries) for name, rows in zip("ab", costs, strict=True)]
    kept = [0, 0, 0, 1, 1, 1]
    budgets = [replace(budget, maximum=budget.total(kept) * 1.005) for budget in free]
    log_p_LK = np.log(np.full((6, 4), 0.25))
    assert (Projection(budgets, 4).nearest(log_p_LK, np.ones(2)).share_C <= 1.0 + 1e-4).all()


@pytest.mark.parametrize("order", [1, -1])
def test_a_layer_that_a_sum_makes_small_is_not_bent_by_a_peak_too(order: int) -> None:
    peak = Budget("memory", [[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]], 0.0, 2.5, kind="peak")
    both = [peak, Budget("pi4", [[0.0, 5.0, 6.0], [0.0, 0.0, 0.0]], 0.0, 1.0)]
    found = Projection(both[::order], 3).nearest(np.log(np.full((2, 3), 1 / 3)), np.ones(2))
    # by scipy's SLSQP on the primal
    np.testing.assert_allclose(found.q_LK, [[0.8149, 0.1108, 0.0743], [0.4638, 0.3985, 0.1377]], atol=2e-4)


def test_a_budget_that_holds_changes_nothing_beside_one_that_does_not() -> None:
    rng = random.Random(2)
    tight, loose, log_p_LK = a_budget(rng, 0.2), a_budget(rng, 0.95, name="pixel3"), log_p_of(rng)
    both, alone = (Projection(b, CHOICES).nearest(log_p_LK, np.ones(len(b))) for b in ([loose, tight], [tight]))
    np.testing.assert_allclose(both.q_LK, alone.q_LK, atol=1e-4)
    assert both.share_C[0] < 1.0


def test_a_peak_bends_the_layers_that_exceed_it_alone() -> None:
    costs_LK = [[1.0, 2.0, 4.0], [1.0, 2.0, 3.0]]
    peak, log_p_LK = Budget("memory", costs_LK, 0.0, 2.0, kind="peak"), np.log(np.full((2, 3), 1 / 3))
    found = Projection([peak], 3).nearest(log_p_LK, np.ones(1))
    np.testing.assert_allclose(found.q_LK[1], [1 / 3] * 3)  # expects 2, which is held
    assert found.q_LK[0] @ costs_LK[0] == pytest.approx(2.0, rel=1e-3)
    assert found.share_C[0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("changes", [0.0, 1.0])
def test_what_cannot_be_held_ends_at_the_least_there_is(changes: float) -> None:
    rng = random.Random(3)
    budget, log_p_LK = a_budget(rng, 0.0, changes=changes), log_p_of(rng)
    cheapest = ARCHITECTURES[int(totals_of(budget).argmin())]
    found = Projection([budget], CHOICES).nearest(log_p_LK, np.array([0.5]))
    assert found.share_C[0] == pytest.approx(1.0)
    np.testing.assert_allclose(found.q_LK[range(LAYERS), cheapest], 1.0)


def test_choices_that_may_not_be_taken_stay_at_nothing() -> None:
    rng = random.Random(4)
    budget, log_p_LK = a_budget(rng, 0.3, changes=1.0), log_p_of(rng)
    log_p_LK[:, 1], log_p_LK[2, 4] = -math.inf, -math.inf
    found = Projection([budget], CHOICES).nearest(log_p_LK, np.ones(1))
    assert not found.q_LK[:, 1].any()
    assert found.q_LK[2, 4] == 0.0
    np.testing.assert_allclose(found.q_LK.sum(1), 1.0)


def test_narrow_in_float_and_wide_in_integers_are_weighed_as_the_pairs_that_they_are() -> None:
    """Priced one categorical at a time, whichever a layer happens to lean to makes the other dear."""
    costs_LK = [[1.0, 3.0, 1.6, 2.0]] * 4  # narrow float, wide float, narrow int8, wide int8
    boundaries = Boundaries([[0, 0, 1, 1]] * 4, [[[0.0, 0.1], [0.1, 0.0]]] * 5)
    budget = Budget("cpu", costs_LK, 0.0, 8.3, boundaries=boundaries)
    log_p_LK = np.log(np.array([[0.01, 0.49, 0.01, 0.49]] * 4))  # wide is worth more, in either format
    found = Projection([budget], 4).nearest(log_p_LK, np.ones(1))
    assert (found.q_LK.argmax(1) == 3).all()
