"""What is expected of a distribution is the mean over the architectures that it draws."""

import itertools
import math
import random

import pytest
import torch
from torch import Tensor

from search.derive import Boundaries, Budget
from search.expectation import ExpectedCost
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


def changing_budgets(seed: int, formats: int = 3) -> list[Budget]:
    """Four layers of one to four choices, identities among them; two budgets pay for changes of format, one does not,
    and one is a peak.
    """
    rng = random.Random(seed)
    own = [[rng.choice([None, *range(formats)]) for _ in range(rng.randint(1, 4))] for _ in range(4)]
    budgets = [Budget("peak", [[rng.random() for _ in row] for row in own], 0.2, 0.7, kind="peak")]
    for name in ("a", "plain", "b"):
        changes = [
            [[0.0 if a == b else rng.random() for b in range(formats)] for a in range(formats)] for _ in range(5)
        ]
        boundaries = None if name == "plain" else Boundaries(own, changes)
        costs = [[rng.random() for _ in row] for row in own]
        budgets.append(Budget(name, costs, 0.3, rng.uniform(1, 4), boundaries=boundaries))
    return budgets


def random_p(budget: Budget, seed: int) -> Tensor:
    """A distribution over the choices of each layer, 0 after a layer's last, (layers, 4)."""
    logits_LK = torch.randn(len(budget.costs_LK), 4, generator=torch.Generator().manual_seed(seed))
    is_choice_LK = torch.tensor([[k < len(row) for k in range(4)] for row in budget.costs_LK])
    return torch.softmax(logits_LK.masked_fill(~is_choice_LK, -torch.inf), 1)


def every(budget: Budget) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(len(row)) for row in budget.costs_LK)))


@pytest.mark.parametrize("seed", range(6))
def test_of_one_architecture_its_total_is_expected(seed: int) -> None:
    budgets = changing_budgets(seed)
    cost = ExpectedCost(budgets, 4)
    for indices in every(budgets[0]):
        p_LK = torch.nn.functional.one_hot(torch.tensor(indices), 4).float()
        assert cost(p_LK).tolist() == pytest.approx([b.total(indices) / b.maximum for b in budgets], rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_of_a_distribution_the_mean_of_its_architectures_is_expected(seed: int) -> None:
    _, *sums = changing_budgets(seed)
    p_LK = random_p(sums[0], seed)
    means = [
        math.fsum(
            math.prod(p_LK[layer, index].item() for layer, index in enumerate(indices)) * budget.total(indices)
            for indices in every(budget)
        )
        for budget in sums
    ]
    assert ExpectedCost(sums, 4)(p_LK).tolist() == pytest.approx(
        [mean / budget.maximum for mean, budget in zip(means, sums, strict=True)], rel=1e-5
    )


@pytest.mark.parametrize("seed", range(6))
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    """Expected sums are linear in each probability, so a wide difference is exact."""
    _, *sums = changing_budgets(seed)
    cost, p_LK = ExpectedCost(sums, 4), random_p(sums[0], seed)
    share_C = cost(p_LK.requires_grad_())
    found_CLK = torch.stack([torch.autograd.grad(share, p_LK, retain_graph=True)[0] for share in share_C])
    p_LK = p_LK.detach()
    for layer, index in itertools.product(range(4), range(4)):
        step_LK = torch.zeros_like(p_LK)
        step_LK[layer, index] = 0.5
        expected_C = cost(p_LK + step_LK) - cost(p_LK - step_LK)
        torch.testing.assert_close(found_CLK[:, layer, index], expected_C, atol=1e-5, rtol=1e-5)


def test_where_no_change_costs_anything_nothing_is_added() -> None:
    plain, *_ = budgets = [budget for budget in changing_budgets(0) if budget.boundaries is None]
    cost = ExpectedCost(budgets, 4)
    assert cost.changes is None
    assert cost(random_p(plain, 0)).shape == (2,)
