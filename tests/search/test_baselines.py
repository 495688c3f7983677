"""What a search is held against is fair: within the budgets, near them, as strong as its rules allow, drawn evenly."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from scipy import stats

from search.baselines import BASELINES, misfits, uniform_magnitude
from search.baselines.methods import METHODS, PROPOSALS
from search.baselines.near import best_near
from search.baselines.random_draw import draw
from search.baselines.uniform_int8 import only_int8
from search.budget import NEAR, Budget, Indices, binding, spent, worth_of
from search.budgets import sum_budget
from search.choices import Choices, Precision, Sparsity
from search.costs import macs, stored_bytes
from search.derive import Unreachable, cheapest, reach
from search.points import Point, operating_points
from search.report.compared import SEARCHED
from search.space import Space
from tests.search.builders import tiny_space, weight_budget
from tests.search.test_derive import EVERY, random_case, seeds

WIDE = Choices(precision=("fp32", "w8a8"), width=(1, 0.5), width_multiple=4, sparsity=Sparsity(levels=(0, 0.5)))


def holds(indices: Indices, budgets: Sequence[Budget]) -> bool:
    return all(budget.total(indices) <= budget.maximum for budget in budgets)


def random_worth(space: Space, seed: int) -> list[list[float]]:
    rng = random.Random(seed)
    return [[rng.gauss(0, 1) for _ in layer.choices] for layer in space.layers]


def size_budget(space: Space, share: float) -> Budget:
    budget = sum_budget("size", space, stored_bytes, 1.0)
    least, greatest = reach(budget)
    return replace(budget, maximum=least + share * (greatest - least))


def test_every_baseline_that_can_be_asked_for_has_a_method() -> None:
    assert {*METHODS, *PROPOSALS} == {SEARCHED, *BASELINES}
    assert not set(METHODS) & set(PROPOSALS)


@pytest.mark.parametrize("seed", range(40))
def test_the_cheapest_is_that_of_all_architectures_and_forbidden_choices_are_left_alone(seed: int) -> None:
    _, budgets = random_case(seed)
    rng = random.Random(seed)
    forbidden = {(rng.randrange(4), rng.randrange(4)) for _ in range(3)}
    worth_LK = [[-math.inf if (layer, k) in forbidden else 0.0 for k in range(4)] for layer in range(4)]
    sums = [budget for budget in budgets if budget.kind == "sum"]
    for given, own in ((None, EVERY), (worth_LK, [ix for ix in EVERY if worth_of(worth_LK, ix) == 0.0])):
        held = [ix for ix in own if holds(ix, budgets)]
        if not held:
            with pytest.raises(Unreachable):
                cheapest(budgets, worth_LK=given)
            continue
        found = cheapest(budgets, worth_LK=given)
        taken = {ix: math.fsum(b.total(ix) / b.maximum for b in sums) for ix in held}
        assert taken[found] == pytest.approx(min(taken.values()))


@pytest.mark.parametrize("seed", seeds(40))
def test_points_begin_with_the_jobs_own_budgets_fall_and_can_all_be_held(seed: int) -> None:
    _, budgets = random_case(seed)
    points = operating_points(budgets, 5)
    assert [point.share for point in points] == [1.0, 0.85, 0.7, 0.55, 0.4]
    assert points[0].budgets == tuple(budgets)
    for before, after in itertools.pairwise(points):
        assert all(a.maximum <= b.maximum for a, b in zip(after.budgets, before.budgets, strict=True))
        assert any(holds(ix, after.budgets) for ix in EVERY)


def test_a_point_is_its_share_of_the_way_from_the_least_to_the_maximum_or_the_greatest_that_there_is() -> None:
    budget = weight_budget(tiny_space(), 0.6)
    least, greatest = reach(budget)
    for maximum, top in ((budget.maximum, budget.maximum), (3 * greatest, greatest)):
        *_, last = operating_points([replace(budget, maximum=maximum)], 5)
        assert last.budgets[0].maximum == pytest.approx(least + 0.4 * (top - least))


@pytest.mark.parametrize("seed", seeds(40))
def test_a_random_network_holds_every_budget_and_spends_as_much_of_a_binding_one_as_there_is(seed: int) -> None:
    """Peaks and changes of format among the budgets."""
    _, budgets = random_case(seed)
    held = [ix for ix in EVERY if holds(ix, budgets)]
    drawn = draw(budgets, seed)
    assert holds(drawn, budgets)
    assert spent(drawn, budgets) >= min(NEAR, max(spent(ix, budgets) for ix in held) - 0.05)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_random_networks_spend_nearly_all_of_a_budget_and_differ_by_seed(share: float) -> None:
    space = tiny_space(stages=({"channels": 8, "layers": 2}, {"channels": 12, "layers": 3, "stride": 2})).offering(WIDE)
    budgets = [weight_budget(space, share), size_budget(space, share)]
    drawn = [draw(budgets, seed) for seed in range(6)]
    for indices in drawn:
        assert holds(indices, budgets)
        assert any(b.total(indices) >= 0.95 * b.maximum for b in budgets)
    assert len(set(drawn)) == 6
    assert draw(budgets, 3) == drawn[3]


def test_random_networks_are_drawn_evenly_from_all_that_are_near_the_budget() -> None:
    space = tiny_space(candidates=["k3_e1", "k5_e1", "k3_e3", "k3_e6", "skip"])
    budget = weight_budget(space, 0.7)
    every = itertools.product(*(range(len(layer.choices)) for layer in space.layers))
    near = [ix for ix in every if NEAR * budget.maximum <= budget.total(ix) <= budget.maximum]
    counts = Counter(draw([budget], seed) for seed in range(25 * len(near)))
    assert set(counts) <= set(near)
    assert stats.chisquare([counts[ix] for ix in near]).pvalue > 0.001


def test_where_no_budget_binds_every_architecture_may_be_drawn() -> None:
    budget = weight_budget(tiny_space(), 2.0)
    assert binding([budget]) == ()
    assert len({draw([budget], seed) for seed in range(20)}) > 15


def test_uniform_networks_have_one_candidate_precision_width_and_share_of_zeros_and_none_skips() -> None:
    space = tiny_space().offering(WIDE)
    networks = list(uniform_magnitude.uniform(space))
    widths = 2 * len(("e1", "e1 halved", "e1 in groups", "e3", "e3 halved", "e6"))  # e6 halved is e3
    assert len(networks) == len(set(networks)) == widths * 2 * 2
    for indices in networks:
        choices = [layer.choices[index] for layer, index in zip(space.layers, indices, strict=True)]
        ratios = [choice.c_mid / layer.c_in for choice, layer in zip(choices, space.layers, strict=True)]
        assert len({(c.candidate.kernel, c.candidate.groups, c.precision, c.level) for c in choices}) == 1
        assert max(ratios) - min(ratios) < 4 / 8  # but for the rounding to fours of channels


def test_uniform_networks_have_one_width_factor_where_rounding_allows() -> None:
    """Half of 12 channels is 8 in eights, half of 8 is none narrower: that layer keeps its width."""
    space = tiny_space(candidates=["k3_e1"]).offering(Choices(width=(1, 0.5)))
    found = {tuple(layer.choices[i].c_mid for layer, i in zip(space.layers, ix, strict=True))
             for ix in uniform_magnitude.uniform(space)}  # fmt: skip
    assert found == {(8, 8, 12), (8, 8, 8)}


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_the_strongest_uniform_network_near_the_budget_is_taken(share: float) -> None:
    space = tiny_space().offering(WIDE)
    budgets, worth_LK = [weight_budget(space, share), size_budget(space, share)], random_worth(space, 0)
    chosen = uniform_magnitude.choose(space, worth_LK, budgets)
    held = [ix for ix in uniform_magnitude.uniform(space) if holds(ix, budgets)]
    assert chosen in held
    most = max(spent(ix, budgets) for ix in held)
    near = [ix for ix in held if spent(ix, budgets) >= NEAR * most]
    assert worth_of(worth_LK, chosen) == max(worth_of(worth_LK, ix) for ix in near)


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_eight_bits_everywhere_are_the_best_blocks_near_the_budget(share: float) -> None:
    space, int8 = tiny_space().offering(WIDE), Precision(8, 8)
    budgets, worth_LK = [weight_budget(space, share)], random_worth(space, 1)
    chosen, _ = best_near(only_int8(space, worth_LK), budgets)
    assert holds(chosen, budgets)
    assert spent(chosen, budgets) >= NEAR
    for layer, index in zip(space.layers, chosen, strict=True):
        assert layer.choices[index].precision == int8 or layer.operator(layer.choices[index]).is_identity


def of_choices(budgets: Sequence[Budget]) -> list[Budget]:
    """With peaks that a choice spends, never a change of format."""
    return [replace(b, boundaries=None) if b.kind == "peak" else b for b in budgets]


def holding_without(layer: int, choice: int, budgets: Sequence[Budget]) -> list[Indices]:
    """Every architecture that holds `budgets` and does not have that choice."""
    return [ix for ix in EVERY if ix[layer] != choice and holds(ix, budgets)]


@pytest.mark.parametrize("seed", seeds(60, lambda seed: holding_without(1, 2, of_choices(random_case(seed)[1]))))
def test_the_best_near_the_budgets_is_that_of_all_that_spend_as_much_as_there_is(seed: int) -> None:
    """Peaks, changes of format and forbidden choices among them."""
    worth_LK, budgets = random_case(seed)
    budgets = of_choices(budgets)
    worth_LK[1][2] = -math.inf
    held = holding_without(1, 2, budgets)
    chosen, share = best_near(worth_LK, budgets)
    most = max(spent(ix, budgets) for ix in held)
    assert share == pytest.approx(min(NEAR, math.floor(most / 0.05) * 0.05) if binding(budgets) else 0.0)
    near = [ix for ix in held if spent(ix, budgets) >= share]
    assert chosen in near
    assert worth_of(worth_LK, chosen) == max(worth_of(worth_LK, ix) for ix in near)


def test_a_baseline_that_cannot_apply_says_why() -> None:
    plain, mixed = tiny_space(candidates=["k3_e1", "skip"]), tiny_space().offering(WIDE)
    tight = [sum_budget("macs", plain, macs, 1.0)]
    tight = [replace(tight[0], maximum=1.01 * reach(tight[0]).least)]
    loose = operating_points([weight_budget(mixed, 0.9)], 2)
    sparse = mixed.offering(WIDE.model_copy(update={"sparsity": Sparsity(levels=(0, 0.5))}))
    assert list(misfits(BASELINES, sparse, loose)) == []
    found = dict(misfits(("random", "uniform-magnitude", "uniform-int8"), plain, [Point(1.0, tuple(tight))]))
    assert set(found) == {1, 2}
    assert "in every layer holds the budgets at share 1 (the least, each alone: macs:" in found[1]
    assert found[2] == "uniform-int8: w8a8 is no choice of the space tiny: add it to choices.precision"
    costs = [[9.0 if c.precision == Precision(8, 8) else 1.0 for c in layer.choices] for layer in mixed.layers]
    dear = [Point(0.7, (Budget("cpu", costs, 0.0, 8.0),))]
    ((place, reason),) = misfits(("uniform-int8",), mixed, dear)
    assert place == 0
    assert reason.startswith("uniform-int8: no network of w8a8 alone holds the budgets at share 0.7")


def test_a_space_without_one_block_for_all_layers_has_no_uniform_network() -> None:
    stages = ({"channels": 8, "layers": 1, "candidates": ["k3_e1"]}, {"channels": 12, "layers": 2, "stride": 2})
    space = tiny_space(stages=stages, candidates=["k5_e1"])
    points = operating_points([weight_budget(space, 1.0)], 1)
    ((_, reason),) = misfits(("uniform-magnitude",), space, points)
    assert "no block is offered in every layer of tiny" in reason
