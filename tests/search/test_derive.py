"""The derivation is exact, with and without neighbour costs and peaks, and never over budget."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search import program as program_module
from search.budget import TooHard, seconds_left, within
from search.derive import (
    Boundaries,
    Budget,
    Reach,
    Unreachable,
    can_be_held,
    pareto,
    reach,
    solve,
    solve_best,
    worth_of,
)
from search.program import Program
from search.ranking import Ranking

Case = tuple[list[list[float]], list[Budget]]
EVERY = list(itertools.product(range(4), repeat=4))


def random_case(seed: int) -> Case:
    """Four layers of four choices, one to three formats with identities among them, one or two budgets that pay for
    changes of format at some or all positions, one that does not now and then, and every other time a peak.
    """
    rng = random.Random(seed)
    layers, choices, formats = 4, 4, rng.choice([1, 2, 3])
    worth = [[rng.gauss(0, 1) for _ in range(choices)] for _ in range(layers)]
    own = [[rng.choice([None, *range(formats)]) for _ in range(choices)] for _ in range(layers)]
    budgets = []
    for number in range(rng.choice([1, 2])):
        costs = [[rng.random() for _ in range(choices)] for _ in range(layers)]
        paid = [rng.choice([0.0, 1.0, 1.0]) for _ in range(layers + 1)]
        changes = [[[0.0 if a == b else most * rng.random() for b in range(formats)] for a in range(formats)]
                   for most in paid]  # fmt: skip
        boundaries = Boundaries(own, changes) if formats > 1 and rng.random() < 0.8 else None
        budgets.append(Budget(f"b{number}", costs, 0.3, rng.uniform(1, 4), boundaries=boundaries))
    if seed % 2:
        peaks = [[rng.random() for _ in range(choices)] for _ in range(layers)]
        changes = [[[0.0 if a == b else rng.random() for b in range(formats)] for a in range(formats)]
                   for _ in range(layers + 1)]  # fmt: skip
        boundaries = Boundaries(own, changes) if formats > 1 and rng.random() < 0.6 else None
        budgets.append(Budget("peak", peaks, 0.2, rng.uniform(0.4, 1), kind="peak", boundaries=boundaries))
    return worth, budgets


def in_order(case: Case) -> list[tuple[int, ...]]:
    """Every architecture that holds the budgets, best first."""
    worth, budgets = case
    held = [ix for ix in EVERY if all(b.total(ix) <= b.maximum for b in budgets)]
    return sorted(held, key=lambda ix: -worth_of(worth, ix))


def seeds(count: int, reaches: Callable[[int], object] = lambda seed: in_order(random_case(seed))) -> list[int]:
    """The first seeds of which a test asserts something: of most tests, those whose case an architecture holds."""
    found = [seed for seed in range(2 * count) if reaches(seed)]
    assert len(found) >= count
    return found[:count]


@pytest.mark.parametrize("seed", range(60))
def test_the_solution_is_the_best_of_all_architectures(seed: int) -> None:
    case = random_case(seed)
    held = in_order(case)
    if held:
        assert solve(*case) == held[0]
        return
    with pytest.raises(Unreachable):
        solve(*case)


@pytest.mark.parametrize("most_steps", [100_000, 0], ids=["best first", "by cuts"])
@pytest.mark.parametrize("seed", seeds(30))
def test_the_best_come_in_order_and_each_once(seed: int, most_steps: int) -> None:
    worth, budgets = case = random_case(seed)
    assert solve_best(worth, budgets, 12, most_steps=most_steps) == in_order(case)[:12]


@pytest.mark.parametrize("seed", seeds(16))
def test_the_front_has_the_best_at_each_maximum_and_nothing_dominated(seed: int) -> None:
    worth, budgets = case = random_case(seed)
    held = in_order(case)
    first = budgets[0]
    totals = sorted(first.total(ix) for ix in held)
    front = pareto(worth, budgets, points=40)
    for before, after in itertools.pairwise(front):
        assert (before.worth, before.total) < (after.worth, after.total)
    for indices, value, total in front:
        assert (value, total) == (worth_of(worth, indices), first.total(indices))
        assert value == max(worth_of(worth, ix) for ix in held if first.total(ix) <= total)
    assert front[0].total == pytest.approx(totals[0])
    assert front[-1].indices == held[0]


def test_a_front_under_a_peak_is_found_too() -> None:
    peak = Budget("memory", [[1.0, 2.0, 3.0]] * 2, 0.5, 3.0, kind="peak")
    front = pareto([[0.0, 1.0, 2.0]] * 2, [peak], points=5)
    assert [(solution.total, solution.worth) for solution in front] == [(1.0, 0.0), (2.0, 2.0), (3.0, 4.0)]


@pytest.mark.parametrize("seed", range(20))
def test_reach_is_the_least_and_greatest_of_all_architectures(seed: int) -> None:
    _, budgets = random_case(seed)
    for budget in budgets:
        totals = [budget.total(ix) for ix in EVERY]
        assert reach(budget) == pytest.approx((min(totals), max(totals)))


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_of_exactly_the_least_is_held(seed: int) -> None:
    worth, (first, *_) = random_case(seed)
    least = reach(first).least
    assert first.total(solve(worth, [replace(first, maximum=least)])) == least
    with pytest.raises(Unreachable):
        solve(worth, [replace(first, maximum=math.nextafter(least, 0))])


def test_fewer_are_given_where_there_are_fewer() -> None:
    budget = Budget("pi4", [[1.0, 2.0], [1.0, 2.0]], 0.0, 3.0)
    assert solve_best([[0.0, 1.0], [0.0, 3.0]], [budget], 16) == [(0, 1), (1, 0), (0, 0)]


def test_equal_worth_everywhere_is_no_trouble() -> None:
    rng = random.Random(0)
    budgets = [Budget(f"b{n}", [[rng.random() for _ in range(30)] for _ in range(22)], 0.0, 4.0) for n in range(2)]
    found = solve_best([[0.0] * 30] * 22, budgets, 3)
    assert len(set(found)) == 3
    assert all(budget.total(indices) <= budget.maximum for budget in budgets for indices in found)


@pytest.mark.parametrize("seed", range(12))
def test_where_much_is_equal_the_worths_are_still_those_of_the_best(seed: int) -> None:
    rng = random.Random(seed)
    worth = [[float(rng.randrange(3)) for _ in range(4)] for _ in range(4)]
    costs = [[float(rng.randrange(3)) for _ in range(4)] for _ in range(4)]
    case: Case = worth, [Budget("b", costs, 0.0, 4.0)]
    expected = [worth_of(worth, indices) for indices in in_order(case)][:20]
    found = solve_best(worth, case[1], 20)
    assert [worth_of(worth, indices) for indices in found] == expected
    assert len(set(found)) == len(found)


def test_a_worth_of_minus_infinity_forbids_a_choice() -> None:
    assert solve([[0.0, -math.inf]], [Budget("pi4", [[1.0, 1.0]], 0.0, 2.0)]) == (0,)


def test_a_budget_that_is_met_to_the_last_digit_is_held() -> None:
    costs = [[0.1, 0.7], [0.2, 0.6], [0.3, 0.5]]
    budget = Budget("pi4", costs, 0.0, 0.1 + 0.2 + 0.5)
    assert solve([[0.0, 1.0]] * 3, [budget]) == (0, 0, 1)


def test_an_unreachable_budget_tells_what_is_reachable() -> None:
    budget = Budget("pi4", [[1.0, 2.0], [3.0, 5.0]], 10.0, 13.5)
    with pytest.raises(Unreachable, match=r"pi4: 13\.5 asked, 14 to 17 reachable") as caught:
        solve([[0.0, 0.0]] * 2, [budget])
    assert caught.value.reachable == {"pi4": Reach(14.0, 17.0)}


def test_a_peak_that_something_fixed_exceeds_is_unreachable() -> None:
    peak = Budget("memory", [[1.0, 2.0]], 4.0, 3.0, kind="peak")
    with pytest.raises(Unreachable, match="memory: 3 asked, 4 to 4 reachable"):
        solve([[0.0, 0.0]], [peak])


@pytest.mark.parametrize("seed", range(40))
def test_budgets_can_be_held_where_an_architecture_holds_them(seed: int) -> None:
    _, budgets = case = random_case(seed)
    tight = [replace(budget, maximum=0.85 * budget.maximum) for budget in budgets]
    assert can_be_held(budgets) is bool(in_order(case))
    assert can_be_held(tight) is bool(in_order((case[0], tight)))


def test_budgets_that_exclude_each_other_say_so() -> None:
    one, other = Budget("a", [[0.0, 1.0]], 1.0, 1.5), Budget("b", [[1.0, 0.0]], 1.0, 1.5)
    with pytest.raises(Unreachable, match="together"):
        solve([[0.0, 0.0]], [one, other])


def test_a_change_of_format_is_paid_where_the_next_choice_computes() -> None:
    """Choice 0 stays in the format of the ends, 1 has another one, 2 is an identity."""
    own: list[list[int | None]] = [[0, 1, None]] * 3
    changes = [[[0.0, 10.0**layer], [2 * 10.0**layer, 0.0]] for layer in range(4)]
    budget = Budget("pi4", [[0.0] * 3] * 3, 0.0, 1.0, boundaries=Boundaries(own, changes))
    found = {
        (0, 0, 0): 0.0, (2, 2, 2): 0.0, (1, 1, 1): 2001.0, (0, 1, 0): 210.0, (1, 2, 0): 201.0,
        (2, 2, 1): 2100.0, (1, 2, 2): 2001.0, (1, 0, 1): 1.0 + 20.0 + 100.0 + 2000.0,
    }  # fmt: skip
    assert {indices: budget.total(indices) for indices in found} == found
    assert reach(budget) == Reach(0.0, 2121.0)


def test_changes_of_format_can_outweigh_choices_that_alone_are_better_in_everything() -> None:
    own: list[list[int | None]] = [[0, 1]] * 2
    changes = [[[0.0, 1.0], [1.0, 0.0]]] * 3
    budget = Budget("pi4", [[0.5, 0.0]] * 2, 0.0, 1.0, boundaries=Boundaries(own, changes))
    assert solve([[0.0, 1.0]] * 2, [budget]) == (0, 0)


def test_budgets_of_one_problem_share_the_formats_of_its_choices() -> None:
    changes = [[[0.0, 1.0], [1.0, 0.0]]] * 2
    one, other = (
        Budget(name, [[0.0, 0.0]], 0.0, 1.0, boundaries=Boundaries(own, changes))
        for name, own in (("a", [[0, 1]]), ("b", [[1, 0]]))
    )
    assert solve([[0.0, 1.0]], [one, replace(one, name="c"), Budget("plain", [[0.0, 0.0]], 0.0, 1.0)]) == (0,)
    with pytest.raises(ValueError, match="a and b give the choices different formats"):
        solve([[0.0, 1.0]], [one, other])


def test_boundaries_that_no_architecture_could_have_are_refused() -> None:
    free, paid = [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.5, 0.0]]
    for own, changes, problem in (
        ([[0]], [[[0.5]], [[0.0]]], "to stay in a format costs nothing"),
        ([[0]], [free], "one more is needed"),
        ([[0]], [free, [[0.0]]], "not 2 times 2"),
        ([[2]], [free, free], "none of the 2"),
    ):
        with pytest.raises(ValueError, match=problem):
            Boundaries(own, changes)
    with pytest.raises(ValueError, match="not of the same choices"):
        Budget("a", [[0.0, 0.0]], 0.0, 1.0, boundaries=Boundaries([[0]], [free, paid]))


@pytest.mark.parametrize("prices", [(0.0,), (0.5,), (3.0,)])
def test_of_equals_those_whose_choices_come_first_are_given_whatever_the_prices(prices: tuple[float, ...]) -> None:
    """They follow from a linear program, which has many answers where much is equal."""
    costs = [[1.0, 1.0, 2.0]] * 3
    program = Program([[0.0, 0.0, 0.0]] * 3, [Budget("b", costs, 0.0, 4.0)], count=4)
    found = Ranking(program, np.array(prices)).best(4)
    assert found == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)]


def test_a_layer_of_very_many_choices_is_solved_without_comparing_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = random_case(seeds(1)[0])
    expected = solve_best(*case, 5)
    monkeypatch.setattr(program_module, "MOST_COMPARED", 2)
    assert solve_best(*case, 5) == expected


@pytest.mark.parametrize("seconds", [0.0, 1e-4])
def test_what_is_not_proven_in_the_time_there_is_says_so(seconds: float) -> None:
    rng = random.Random(0)
    budgets = [
        Budget(f"b{number}", [[rng.random() for _ in range(40)] for _ in range(22)], 0.0, 5.0) for number in range(4)
    ]
    with within(seconds), pytest.raises(TooHard, match=r"not proven in good time: give fewer constraints"):
        solve([[rng.random() for _ in range(40)] for _ in range(22)], budgets)


@pytest.mark.parametrize("maximum", [0.0, math.nan, 1e-310])
def test_a_maximum_that_nothing_is_a_share_of_is_refused_by_name(maximum: float) -> None:
    with pytest.raises(ValueError, match=r"latency: a maximum of .* is none: give one above 0"):
        Budget("latency", [[1.0]], 0.0, maximum)


def test_a_front_begins_with_what_costs_nothing() -> None:
    front = pareto([[0.0, 1.0]] * 2, [Budget("energy", [[0.0, 1.0]] * 2, 0.0, 2.0)], points=3)
    assert [(one.indices, one.total) for one in front] == [((0, 0), 0.0), ((0, 1), 1.0), ((1, 1), 2.0)]


@pytest.mark.parametrize(
    ("ends", "told"),
    [((130.2463, 411.98765), "130.247 to 411.987"), ((11_326_720.0, 2e9), "11326720 to 2000000000"),
     ((0.00012345678, 0.5), "0.000123457 to 0.5"), ((0.0, 1.0), "0 to 1"), ((12.3, 12.3), "12.3 to 12.3"),
     ((130.2511111, 130.2511112), "130.252 to 130.252")],
)  # fmt: skip
def test_what_is_reachable_is_told_such_that_it_can_be_asked_for(ends: tuple[float, float], told: str) -> None:
    found = Reach(*ends)
    assert str(found) == told
    assert found.least <= float(told.split()[0]) <= float(told.split()[2])


def test_outside_of_a_limit_there_is_none() -> None:
    with within(5.0):
        assert 0 < seconds_left() <= 5
    assert seconds_left() == math.inf
