"""The budget is a constraint: it binds only where exceeded, and no unit changes a search."""

import dataclasses

import pytest
import torch

from search.axes import Axes
from search.choices import Choices
from search.derive import Budget
from search.objective import Constrained, ExpectedCost, FBNet, expected_shares
from search.space import Space
from search.supernet.theta import Theta
from tests.search.builders import tiny_space, weight_budget


def test_expected_cost_is_the_sum_over_layers_of_p_times_cost() -> None:
    budget = weight_budget(tiny_space(), 0.5)
    p_LK = torch.full((3, 9), 1 / 9)
    by_hand = budget.fixed + sum(sum(row) / 9 for row in budget.costs_LK)
    assert ExpectedCost([budget], 9)(p_LK).item() * budget.maximum == pytest.approx(by_hand, rel=1e-6)


def test_the_expected_cost_of_a_peak_is_that_of_the_greatest_layer_or_what_is_fixed() -> None:
    one, other = [[2.0, 4.0], [6.0, 8.0]], [[0.0, 1.0], [0.0, 1.0]]
    budgets = [Budget("memory", one, 1.0, 10.0, kind="peak"), Budget("low", other, 3.0, 10.0, kind="peak")]
    p_LK = torch.tensor([[0.5, 0.5], [0.5, 0.5]], requires_grad=True)
    share_C = ExpectedCost(budgets, 2)(p_LK)
    assert share_C.tolist() == pytest.approx([0.7, 0.3])
    share_C[0].backward()  # type: ignore[no-untyped-call]
    assert p_LK.grad is not None
    assert p_LK.grad.tolist() == [[0.0, 0.0], pytest.approx([0.6, 0.8])]


@pytest.mark.parametrize("objective", [Constrained(), FBNet()])
def test_a_table_in_another_unit_gives_the_same_loss(objective: Constrained | FBNet) -> None:
    us = weight_budget(tiny_space(), 0.3)
    scaled = [[cost / 1000 for cost in row] for row in us.costs_LK]
    ms = dataclasses.replace(us, costs_LK=scaled, fixed=us.fixed / 1000, maximum=us.maximum / 1000)
    p_LK = torch.softmax(torch.randn(3, 9, generator=torch.Generator().manual_seed(0)), 1)
    losses = [objective(torch.tensor(0.7), ExpectedCost([budget], 9)(p_LK)).item() for budget in (us, ms)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def spread_theta(space: Space) -> Theta:
    """A theta of random logits."""
    theta = Theta(Axes(space))
    with torch.no_grad():
        for logits in theta.logits.values():
            logits.copy_(torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)))
    return theta


@pytest.mark.parametrize("choices", [Choices(), Choices(precision=("fp32", "w8a8"), width=(1, 0.5))])
def test_settling_brings_an_exceeded_budget_exactly_to_its_bound_and_leaves_worth_alone(choices: Choices) -> None:
    space = tiny_space().offering(choices)
    theta = spread_theta(space)
    cost = ExpectedCost([weight_budget(space, 0.3), weight_budget(space, 0.95, "pixel3")], theta.most_choices)
    worth = theta.worth()
    Constrained().settle(theta, cost, 1.0)
    share_C = expected_shares(theta, cost)
    assert 0.99 < share_C[0].item() <= 1.0005
    assert share_C[1].item() < 1.0
    assert theta.worth() == worth


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
