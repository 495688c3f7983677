"""The budget is a constraint: it binds only where exceeded, and no unit changes a search."""

import dataclasses
import math
import random

import numpy as np
import pytest
import torch

from search.axes import Axes, PerAxis
from search.budgets import sum_budget
from search.choices import Choices
from search.costs import stored_bytes
from search.derive import Budget, can_be_held, reach
from search.expectation import ExpectedCost
from search.objective import Constrained, FBNet, even_within, expected_shares, paths_within
from search.searcher import Searcher
from search.space import Space
from search.spec import Search
from search.supernet.theta import Theta
from tests.search.builders import mixed_space, tiny_digits, tiny_space, weight_budget


@pytest.mark.parametrize("objective", [Constrained(), FBNet()])
def test_a_table_in_another_unit_gives_the_same_loss(objective: Constrained | FBNet) -> None:
    us = weight_budget(tiny_space(), 0.3)
    scaled = [[cost / 1000 for cost in row] for row in us.costs_LK]
    ms = dataclasses.replace(us, costs_LK=scaled, fixed=us.fixed / 1000, maximum=us.maximum / 1000)
    p_LK = torch.softmax(torch.randn(3, 9, generator=torch.Generator().manual_seed(0)), 1)
    losses = [objective(torch.tensor(0.7), ExpectedCost([budget], 9)(p_LK)).item() for budget in (us, ms)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("objective", ["constrained", "fbnet"])
def test_a_search_by_a_table_in_another_unit_goes_the_same_way(objective: str) -> None:
    space, thetas, derived = tiny_space(), list[Theta](), list[list[tuple[int, ...]]]()
    settings = Search.model_validate({"epochs": 2, "warmup_epochs": 0, "batch_size": 64, "objective": objective})
    for scale in (1.0, 1000.0):
        us = weight_budget(space, 0.3)
        costs = [[cost / scale for cost in row] for row in us.costs_LK]
        budget = dataclasses.replace(us, costs_LK=costs, fixed=us.fixed / scale, maximum=us.maximum / scale)
        searcher = Searcher(space, data=tiny_digits(), budgets=[budget], settings=settings, seed=0)
        for _ in searcher:
            pass
        thetas.append(searcher.supernet.theta)
        derived.append(searcher.finalists(4))
    assert derived[0] == derived[1]
    for axis, logits in thetas[0].logits.items():
        torch.testing.assert_close(logits, thetas[1].logits[axis], atol=1e-3, rtol=1e-3)


def test_a_metric_that_no_choice_costs_anything_of_leaves_gradients_that_are_numbers() -> None:
    loss, share_C = torch.tensor(0.7, requires_grad=True), torch.tensor([0.5, 0.0], requires_grad=True)
    FBNet()(loss, share_C).backward()  # type: ignore[no-untyped-call]
    assert share_C.grad is not None
    assert bool(share_C.grad.isfinite().all())


def spread_theta(space: Space, seed: int = 0) -> Theta:
    """A theta of random logits."""
    theta = Theta(Axes(space))
    with torch.no_grad():
        for logits in theta.logits.values():
            logits.copy_(torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed)))
    return theta


@pytest.mark.parametrize("choices", [Choices(), Choices(precision=("fp32", "w8a8"), width=(1, 0.5))])
def test_settling_brings_an_exceeded_budget_exactly_to_its_bound_and_leaves_worth_alone(choices: Choices) -> None:
    space = tiny_space().offering(choices)
    theta = spread_theta(space)
    cost = ExpectedCost([weight_budget(space, 0.3), weight_budget(space, 0.95, "pixel3")], theta.most_choices)
    worth = theta.worth()
    objective = Constrained()
    objective.settle(theta, cost, 1.0)
    share_C = objective.expected(theta, cost)
    assert 0.99 < share_C[0].item() <= 1.0005
    torch.testing.assert_close(expected_shares(theta, cost), share_C, rtol=1e-3, atol=0)  # precision costs nothing here
    assert share_C[1].item() < 1.0
    assert theta.worth() == worth


@pytest.mark.parametrize("seed", range(3))
def test_each_categorical_has_the_shares_of_its_options_in_the_nearest_distribution(seed: int) -> None:
    theta, rng = spread_theta(mixed_space(), seed), random.Random(seed)
    cost = ExpectedCost([random_latency(mixed_space(), rng, 0.3, 1.0)], theta.most_choices)
    p_LKPS = [
        (block[:, None, None] * precision[None, :, None] * level[None, None, :]).detach().numpy()
        for block, precision, level in zip(*theta.probabilities(), strict=True)
    ]
    log_p_LK = theta.per_choice(theta.probabilities()).detach().double().log().numpy()
    q_LK = cost.projection.nearest(log_p_LK, np.ones(1)).q_LK
    Constrained().settle(theta, cost, 1.0)
    found = theta.probabilities()
    for layer, index_KPS in enumerate(theta.axes.index_LKPS):
        share = np.zeros(index_KPS.shape)
        for choice, q in enumerate(q_LK[layer]):
            where = index_KPS == choice  # an identity stands at every precision
            if where.any():
                within = p_LKPS[layer][where]
                share[where] = q * within / within.sum()
        for p, others in zip(found, ((1, 2), (0, 2), (0, 1)), strict=True):
            np.testing.assert_allclose(p[layer].detach().numpy(), share.sum(others), atol=1e-5)


@pytest.mark.parametrize("apart", [30.0, 3000.0])
def test_logits_far_apart_are_no_closed_options(apart: float) -> None:
    theta, budget = spread_theta(mixed_space()), random_latency(mixed_space(), random.Random(0), 0.3, 1.0)
    with torch.no_grad():
        for logits in theta.logits.values():
            logits.mul_(apart)
    cost, objective = ExpectedCost([budget], theta.most_choices), Constrained()
    objective.settle(theta, cost, 1.0)
    assert objective.expected(theta, cost).item() <= 1.0005
    assert all(p.isfinite().all() for p in theta.probabilities())


def test_what_is_expected_goes_on_from_a_kept_state() -> None:
    theta, budget = spread_theta(mixed_space()), random_latency(mixed_space(), random.Random(0), 0.3, 1.0)
    cost, objective, again = ExpectedCost([budget], theta.most_choices), Constrained(), Constrained()
    objective.settle(theta, cost, 0.25)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.expected(theta, cost), objective.expected(theta, cost))
    assert again.expected(theta, cost).item() > 1.1  # the bound is still above the budget


def test_a_peak_is_held_by_every_layer_that_exceeds_it_and_closes_none() -> None:
    space = tiny_space()
    theta = spread_theta(space)
    costs = [
        [size * (1.0 + index) for index in range(len(layer.choices))]
        for size, layer in zip((1, 3, 9), space.layers, strict=True)
    ]
    budget = Budget("memory", costs, 0.0, 12.0, kind="peak")
    cost = ExpectedCost([budget], theta.most_choices)
    free_L = cost.of_layers(theta.per_choice(theta.probabilities()))[0]
    Constrained().settle(theta, cost, 1.0)
    p_LK = theta.per_choice(theta.probabilities())
    held_L = cost.of_layers(p_LK)[0]
    assert (free_L > 1).tolist() == [False, True, True]
    assert held_L.tolist() == pytest.approx([free_L[0].item(), 1.0, 1.0], rel=1e-3)
    assert p_LK.amax() < 0.9


def random_latency(space: Space, rng: random.Random, share: float, changes: float) -> Budget:
    """About 1 an operator, `changes` a change of format; under `share` of the way from the least to the greatest."""
    costs = {o: rng.uniform(0.5, 1.5) * (changes if o.kind == "boundary" else 1.0) for o in space.operators()}
    budget = sum_budget(f"device {rng.random()}", space, lambda operator: costs.get(operator, 0.0), 1.0)
    ends = reach(budget)
    return dataclasses.replace(budget, maximum=ends.least + share * (ends.greatest - ends.least))


@pytest.mark.parametrize("changes", [0.3, 3.0])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_a_latency_with_changes_of_format_is_held_down_to_the_least_that_there_is(
    seed: int, share: float, changes: float
) -> None:
    theta, budget = (
        spread_theta(mixed_space(), seed),
        random_latency(mixed_space(), random.Random(seed), share, changes),
    )
    cost, objective = ExpectedCost([budget], theta.most_choices), Constrained()
    assert objective.expected(theta, cost).item() > 1.0
    objective.settle(theta, cost, 1.0)
    assert 0.9 < objective.expected(theta, cost).item() <= 1.0005


def test_a_tight_budget_draws_small_blocks_for_weight_steps_but_bits_evenly() -> None:
    space = mixed_space()
    theta = Theta(Axes(space))
    size = sum_budget("size", space, stored_bytes, math.inf)
    size = dataclasses.replace(size, maximum=reach(size).least + 0.1 * (reach(size).greatest - reach(size).least))
    cost = ExpectedCost([size], theta.most_choices)
    even, drawn = (make(theta, cost).probabilities() for make in (even_within, paths_within))
    assert (even.precision.amin(1) < 0.3).all()  # fp32 is avoided
    assert torch.equal(drawn.precision, torch.full_like(drawn.precision, 1 / 3))
    assert torch.equal(drawn.block, even.block)
    assert (even.block.amax(1) > 0.4).any()  # of three


@pytest.mark.parametrize("seed", range(4))
def test_two_latencies_with_changes_of_format_are_held_together(seed: int) -> None:
    theta, rng = spread_theta(mixed_space(), seed), random.Random(seed)
    budgets = [random_latency(mixed_space(), rng, 0.3, 3.0) for _ in range(2)]
    assert can_be_held(budgets)
    cost, objective = ExpectedCost(budgets, theta.most_choices), Constrained()
    objective.settle(theta, cost, 1.0)
    assert objective.expected(theta, cost).max().item() <= 1.0005


def test_what_is_closed_stays_closed_where_neighbours_cost() -> None:
    theta, budget = spread_theta(mixed_space()), random_latency(mixed_space(), random.Random(0), 0.3, 3.0)
    assert theta.close_below(0.1)
    closed = [~theta.opened(axis) for axis in PerAxis._fields]
    cost = ExpectedCost([budget], theta.most_choices)
    Constrained().settle(theta, cost, 1.0)
    for p, shut in zip(theta.probabilities(), closed, strict=True):
        assert not p[shut].any()
    torch.testing.assert_close(torch.stack([p.sum() for p in theta.probabilities()]), torch.full((3,), 5.0))


def test_a_budget_that_is_held_tilts_nothing() -> None:
    space = tiny_space()
    theta = spread_theta(space)
    before = theta.probabilities()
    Constrained().settle(theta, ExpectedCost([weight_budget(space, 0.99)], theta.most_choices), 1.0)
    torch.testing.assert_close(theta.probabilities().block, before.block)


def test_the_bound_comes_down_over_the_first_half_of_the_steps() -> None:
    space = tiny_space()
    theta, objective = spread_theta(space), Constrained()
    cost = ExpectedCost([weight_budget(space, 0.3)], theta.most_choices)
    start = expected_shares(theta, cost).item()
    shares = []
    for progress in (0.1, 0.25, 0.5, 1.0):
        objective.settle(theta, cost, progress)
        shares.append(expected_shares(theta, cost).item())
    assert shares[0] == pytest.approx(1 + 0.8 * (start - 1), rel=2e-3)
    assert shares[2:] == pytest.approx([1.0, 1.0], rel=1e-3)


def test_the_papers_factor_is_alpha_at_the_budget_and_a_number_everywhere() -> None:
    objective = FBNet(alpha=0.2, beta=0.6)
    assert objective(torch.tensor(2.0), torch.tensor([1.0])).item() == pytest.approx(0.4)
    for share in (1e-9, 1e-3, 1e3):
        assert torch.isfinite(objective(torch.tensor(2.0), torch.tensor([share])))
