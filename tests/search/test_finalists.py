"""Finalists: the likeliest within the budgets, and a place for each precision alone."""

from itertools import product

import numpy as np
import pytest

from search.choices import FP32, Choices, Precision
from search.derive import Budget, Unreachable, solve_best
from search.finalists import finalists, kind_of, to_try
from search.space import Space
from tests.search.builders import tiny_space

PRECISIONS = ("w8a8", "w4a8", "w2a2")


def three_precisions() -> Space:
    return tiny_space().offering(Choices(precision=PRECISIONS, width=(1, 0.5), width_multiple=4, ends="w8a8"))


def priced(space: Space, maximum: float) -> Budget:
    """A budget that counts the bits of weights; what has none costs nothing."""
    costs = [[float(choice.precision.weight_bits % 32) for choice in layer.choices] for layer in space.layers]
    return Budget("bits", costs, 0.0, maximum)


def liking(space: Space, liked: str, by: float = 9.0, seed: int = 0) -> list[list[float]]:
    """Worth that puts one precision above the others, and else is drawn from 0 to 1."""
    rng = np.random.default_rng(seed)
    return [
        [float(rng.uniform()) + by * (choice.precision.name == liked) for choice in layer.choices]
        for layer in space.layers
    ]


def single(space: Space, found: list[tuple[int, ...]]) -> list[str | None]:
    names = [kind_of(space, indices) for indices in found]
    return [None if name is None else name.name for name in names]


def test_each_precision_alone_has_its_share_of_places_whatever_theta_likes() -> None:
    space = three_precisions()
    found = finalists(space, [liking(space, "w2a2")], [priced(space, 1000.0)], 24)
    assert len(found) == len(set(found)) == 24
    for name in PRECISIONS:
        assert single(space, found).count(name) >= 4


def test_the_places_of_a_precision_go_to_its_best_networks() -> None:
    space, worth = three_precisions(), liking(three_precisions(), "w2a2")
    found = finalists(space, [worth], [priced(space, 1000.0)], 24)
    ours = {indices for indices in found if kind_of(space, indices) == Precision(8, 8)}
    everything = product(*(range(len(layer.choices)) for layer in space.layers))
    alone = [indices for indices in everything if kind_of(space, indices) == Precision(8, 8)]
    best = sorted(alone, key=lambda indices: -sum(row[index] for row, index in zip(worth, indices, strict=True)))
    assert set(best[:4]) <= ours


def test_a_precision_that_exceeds_the_budget_alone_gives_its_places_to_others() -> None:
    space = three_precisions()
    least = 2.0 * len(space.layers)
    skipless = liking(space, "w2a2")
    for layer, row in zip(space.layers, skipless, strict=True):
        for index, choice in enumerate(layer.choices):
            if choice.precision == Precision(32, 32):
                row[index] = -float("inf")
    found = finalists(space, [skipless], [priced(space, least + 1.0)], 24)
    assert set(single(space, found)) == {"w2a2"}
    assert len(found) == 24


def test_one_precision_gives_all_places_to_the_likeliest() -> None:
    space = tiny_space()
    worth = [[float(index % 5) / (layer + 1) for index in range(9)] for layer in range(3)]
    budget = Budget("one", [[1.0] * 9] * 3, 0.0, 9.0)
    found = finalists(space, [worth], [budget], 10)
    totals = [sum(row[index] for row, index in zip(worth, indices, strict=True)) for indices in found]
    assert len(found) == 10
    assert totals == sorted(totals, reverse=True)


def test_budgets_that_nothing_holds_are_refused() -> None:
    space = three_precisions()
    budget = Budget("none", [[2.0] * len(layer.choices) for layer in space.layers], 0.0, 1.0)
    with pytest.raises(Unreachable, match="none: 1 asked, 6 to 6 reachable"):
        finalists(space, [liking(space, "w8a8")], [budget], 24)


def test_half_of_what_is_tried_is_ranked_first_and_the_rest_the_best_of_each_precision() -> None:
    space = three_precisions()
    ranked = finalists(space, [liking(space, "w2a2", by=0.1)], [priced(space, 1000.0)], 24)
    ranked.sort(key=lambda indices: kind_of(space, indices) != Precision(2, 2))  # one precision is far ahead
    tried = to_try(space, ranked, 6)
    firsts = [next(i for i in ranked if kind_of(space, i) == alone) for alone in (None, *space.choices.precisions)]
    assert len(tried) == len(set(tried)) == 6
    assert tried[:3] == ranked[:3]
    assert set(firsts) <= set(tried)
    assert tried == sorted(tried, key=ranked.index)


def test_eight_bits_and_more_are_of_one_kind_which_has_no_place_where_it_is_all_there_is() -> None:
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8")))
    worth = liking(space, "fp32")
    assert finalists(space, [worth], [priced(space, 1000.0)], 24) == solve_best(worth, [priced(space, 1000.0)], 24)
    ranked = finalists(space, [liking(space, "fp32", by=0.0)], [priced(space, 1000.0)], 24)
    assert to_try(space, ranked, 6) == ranked[:6]
    precisions = [[choice.precision for choice in layer.choices] for layer in space.layers]
    mixed = [row.index(one) for row, one in zip(precisions, (FP32, Precision(8, 8), FP32), strict=True)]
    assert kind_of(space, mixed) == Precision(8, 8)


def test_places_that_no_precision_takes_go_to_those_ranked_next() -> None:
    space = three_precisions()
    ranked = finalists(space, [liking(space, "w2a2")], [priced(space, 1000.0)], 24)
    alone = [indices for indices in ranked if kind_of(space, indices) == Precision(2, 2)]
    assert to_try(space, alone, 4) == alone[:4]


def test_fewer_trials_than_kinds_still_try_another_precision_than_the_first() -> None:
    space = three_precisions()
    ranked = finalists(space, [liking(space, "w2a2", by=0.1)], [priced(space, 1000.0)], 24)
    ranked.sort(key=lambda indices: kind_of(space, indices) != Precision(2, 2))
    assert to_try(space, ranked, 1) == ranked[:1]
    kinds = [kind_of(space, indices) for indices in to_try(space, ranked, 3)]
    assert kinds[:2] == [Precision(2, 2)] * 2
    assert kinds[2] != Precision(2, 2)


def test_one_finalist_is_the_likeliest_whatever_else_has_a_say() -> None:
    space = three_precisions()
    first, second = (liking(space, name) for name in ("w2a2", "w8a8"))
    both = finalists(space, [first, second], [priced(space, 1000.0)], 1)
    assert both == finalists(space, [first], [priced(space, 1000.0)], 1)


@pytest.mark.parametrize("count", [6, 7, 24])
def test_each_precision_alone_has_its_places_with_two_kinds_of_worth_too(count: int) -> None:
    space = three_precisions()
    worths = [liking(space, "w2a2"), liking(space, "w2a2", seed=1)]
    found = finalists(space, worths, [priced(space, 1000.0)], count)
    assert len(found) == len(set(found)) == count
    assert all(single(space, found).count(name) >= count // 6 for name in PRECISIONS)


@pytest.mark.parametrize("count", [6, 12])
def test_a_favourite_that_mixes_precisions_is_a_finalist_beside_each_alone(count: int) -> None:
    space = three_precisions()
    first = [
        [
            float(choice.precision.name == PRECISIONS[layer.number % 3]) + index / 100
            for index, choice in enumerate(layer.choices)
        ]
        for layer in space.layers
    ]
    found = finalists(space, [first, liking(space, "w8a8")], [priced(space, 1000.0)], count)
    assert found[0] == finalists(space, [first], [priced(space, 1000.0)], 1)[0]
    assert kind_of(space, found[0]) is None
    assert set(PRECISIONS) <= set(single(space, found))


def test_two_kinds_of_worth_have_half_of_the_places_each() -> None:
    space = tiny_space()
    first = [[float(index % 5) / (layer + 1) for index in range(9)] for layer in range(3)]
    second = [[-value for value in row] for row in first]
    budget = Budget("one", [[1.0] * 9] * 3, 0.0, 9.0)
    both, one = (finalists(space, worths, [budget], 10) for worths in ([first, second], [first]))
    assert both[:5] == one[:5]
    assert set(both[5:]) == set(finalists(space, [second], [budget], 5))
    assert finalists(space, [first, first], [budget], 10) == one  # where they agree, the next best fill the places


def test_a_budget_that_everything_holds_does_not_count_as_spent() -> None:
    """Activations that take nearly all memory whatever is chosen: latency is what has to be spent."""
    space = tiny_space()
    rng = np.random.default_rng(1)
    worth = [[float(rng.uniform()) for _ in layer.choices] for layer in space.layers]
    costs = [[float(rng.uniform()) for _ in layer.choices] for layer in space.layers]
    latency = Budget("pi4", costs, 0.0, 1.2)
    memory = Budget("memory", [[1.0] * len(row) for row in costs], 98.0, 100.0, kind="peak")
    assert finalists(space, [worth], [latency, memory], 8) == finalists(space, [worth], [latency], 8)
    first = finalists(space, [worth], [latency], 8)[0]
    assert latency.total(first) >= 0.97 * latency.maximum
