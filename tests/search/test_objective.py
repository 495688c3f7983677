"""The budget is a constraint: it binds only where exceeded, and no unit changes a search."""

import dataclasses

import pytest
import torch

from search.derive import Budget
from search.objective import Constrained, ExpectedCost, FBNet
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


@pytest.mark.parametrize("objective", [Constrained(1), FBNet()])
def test_a_table_in_another_unit_gives_the_same_loss(objective: Constrained | FBNet) -> None:
    us = weight_budget(tiny_space(), 0.3)
    scaled = [[cost / 1000 for cost in row] for row in us.costs_LK]
    ms = dataclasses.replace(us, costs_LK=scaled, fixed=us.fixed / 1000, maximum=us.maximum / 1000)
    p_LK = torch.softmax(torch.randn(3, 9, generator=torch.Generator().manual_seed(0)), 1)
    losses = [objective(torch.tensor(0.7), ExpectedCost([budget], 9)(p_LK)).item() for budget in (us, ms)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_multiplier_rises_while_its_budget_is_exceeded_and_falls_to_zero_while_not() -> None:
    objective = Constrained(2)
    for _ in range(10):
        objective.learn(torch.tensor([1.5, 0.5]))
    high = objective.multipliers_C.tolist()
    assert high[0] > 0
    assert high[1] == 0.0
    for _ in range(100):
        objective.learn(torch.tensor([0.5, 0.5]))
    assert objective.multipliers_C.tolist() == [0.0, 0.0]


def test_a_budget_that_is_held_does_not_change_the_loss() -> None:
    assert Constrained(1)(torch.tensor(0.7), torch.tensor([0.9])).item() == pytest.approx(0.7)
    assert Constrained(1)(torch.tensor(0.7), torch.tensor([1.1])).item() > 0.7


def test_the_papers_factor_is_alpha_at_the_budget_and_a_number_everywhere() -> None:
    objective = FBNet(alpha=0.2, beta=0.6)
    assert objective(torch.tensor(2.0), torch.tensor([1.0])).item() == pytest.approx(0.4)
    for share in (1e-9, 1e-3, 1e3):
        assert torch.isfinite(objective(torch.tensor(2.0), torch.tensor([share])))
