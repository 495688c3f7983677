"""The derivation is exact, with and without neighbour costs, and never over budget."""

import itertools
import random

import pytest

from search.derive import Budget, Reach, Unreachable, reach, solve


def random_case(seed: int) -> tuple[list[list[float]], list[Budget], list[list[int | None]] | None]:
    """Four layers of four choices, one to three formats, one or two budgets."""
    rng = random.Random(seed)
    layers, choices, formats = 4, 4, rng.choice([1, 2, 3])
    worth = [[rng.gauss(0, 1) for _ in range(choices)] for _ in range(layers)]
    own: list[list[int | None]] | None = None
    if formats > 1:
        own = [[rng.choice([None, *range(formats)]) for _ in range(choices)] for _ in range(layers)]
    budgets = []
    for number in range(rng.choice([1, 2])):
        costs = [[rng.random() for _ in range(choices)] for _ in range(layers)]
        boundary = [[0.0 if a == b else rng.random() for b in range(formats)] for a in range(formats)]
        budgets.append(Budget(f"b{number}", costs, 0.3, rng.uniform(1, 4), boundary))
    return worth, budgets, own


@pytest.mark.parametrize("seed", range(60))
def test_the_solution_is_the_best_of_all_architectures(seed: int) -> None:
    worth, budgets, formats = random_case(seed)
    every = list(itertools.product(range(4), repeat=4))
    held = [ix for ix in every if all(b.total(ix, formats) <= b.maximum for b in budgets)]
    if not held:
        with pytest.raises(Unreachable):
            solve(worth, budgets, formats)
        return
    found = solve(worth, budgets, formats)
    assert found in held
    best = max(sum(worth[layer][choice] for layer, choice in enumerate(ix)) for ix in held)
    assert sum(worth[layer][choice] for layer, choice in enumerate(found)) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(20))
def test_reach_is_the_least_and_greatest_of_all_architectures(seed: int) -> None:
    _, budgets, formats = random_case(seed)
    for budget in budgets:
        totals = [budget.total(ix, formats) for ix in itertools.product(range(4), repeat=4)]
        assert reach(budget, formats) == pytest.approx((min(totals), max(totals)))


def test_a_budget_that_is_met_to_the_last_digit_is_held() -> None:
    costs = [[0.1, 0.7], [0.2, 0.6], [0.3, 0.5]]
    budget = Budget("pi4", costs, 0.0, 0.1 + 0.2 + 0.5)
    assert solve([[0.0, 1.0]] * 3, [budget]) == (0, 0, 1)


def test_an_unreachable_budget_tells_what_is_reachable() -> None:
    budget = Budget("pi4", [[1.0, 2.0], [3.0, 5.0]], 10.0, 13.5)
    with pytest.raises(Unreachable, match=r"pi4: 13\.5 asked, 14 to 17 reachable") as caught:
        solve([[0.0, 0.0]] * 2, [budget])
    assert caught.value.reachable == {"pi4": Reach(14.0, 17.0)}


def test_budgets_that_exclude_each_other_say_so() -> None:
    one, other = Budget("a", [[0.0, 1.0]], 1.0, 1.5), Budget("b", [[1.0, 0.0]], 1.0, 1.5)
    with pytest.raises(Unreachable, match="together"):
        solve([[0.0, 0.0]], [one, other])
