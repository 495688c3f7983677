"""The supernet's views are the blocks that ship, and theta learns from every step."""

import pytest
import torch

from search.space import Space
from search.supernet import Supernet, gumbel_softmax
from search.supernet.shared import SharedPath
from tests.search.builders import pictures, tiny_space

FORMS = ("shared", "reference")


def lively(space: Space, form: str) -> Supernet:
    """A supernet whose BatchNorm statistics and gains are not the trivial ones."""
    torch.manual_seed(0)
    supernet = Supernet(space, form)
    for name, value in supernet.state_dict().items():
        if "bn" in name and value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
    return supernet


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("index", range(9))
def test_a_one_hot_supernet_is_the_network_it_hands_over(form: str, index: int) -> None:
    space = tiny_space()
    supernet = lively(space, form).eval()
    p_LK = torch.nn.functional.one_hot(torch.full((3,), index), 9).float()
    x = torch.from_numpy(pictures(4, space))
    with torch.no_grad():
        torch.testing.assert_close(supernet.inherit([index] * 3).eval()(x), supernet(x, p_LK), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_every_architecture_parameter_gets_a_gradient_in_train_mode(form: str) -> None:
    space = tiny_space()
    supernet = lively(space, form).train()
    x, y = torch.from_numpy(pictures(16, space)), torch.arange(16) % 10
    p_LK = gumbel_softmax(supernet.theta_LK, 1.0, torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(supernet(x, p_LK), y).backward()  # type: ignore[no-untyped-call]
    assert supernet.theta.grad is not None
    assert supernet.theta.grad.abs().min() > 1e-7


def test_an_ungrouped_layer_mixes_widths_exactly_as_a_sum_of_masked_columns() -> None:
    """With one kernel the mixture is linear in the last convolution, before its BatchNorm: p-weighted prefixes."""
    space = tiny_space(candidates=["k3_e1", "k3_e3", "k3_e6"])
    path = SharedPath(space.layers[0], [(3, 8), (3, 24), (3, 48)], groups=1).eval()
    q = torch.tensor([0.2, 0.3, 0.5])
    x = torch.rand(2, 8, 8, 8)
    path.project_bn = torch.nn.Identity()  # type: ignore[assignment]  # the sum is exact before it
    with torch.no_grad():
        alone = torch.stack([path(x, one_hot) for one_hot in torch.eye(3)])
        torch.testing.assert_close(path(x, q), (q.view(3, 1, 1, 1, 1) * alone).sum(0), rtol=1e-5, atol=1e-5)


def test_gumbel_softmax_rows_sum_to_one_and_leave_missing_candidates_out() -> None:
    theta_LK = torch.tensor([[0.0, 1.0, -torch.inf], [0.0, 0.0, 0.0]])
    p_LK = gumbel_softmax(theta_LK, 0.3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(p_LK.sum(1), torch.ones(2))
    assert p_LK[0, 2] == 0


def test_gumbel_softmax_draws_candidates_as_often_as_theta_says() -> None:
    theta_LK = torch.log(torch.tensor([[0.7, 0.2, 0.1]])).expand(20000, 3)
    drawn = gumbel_softmax(theta_LK, 0.05, torch.Generator().manual_seed(2)).argmax(1)
    shares = torch.bincount(drawn) / 20000
    torch.testing.assert_close(shares, torch.tensor([0.7, 0.2, 0.1]), atol=0.02, rtol=0)


def test_layers_with_fewer_candidates_never_choose_one_they_lack() -> None:
    space = tiny_space(
        stages=[{"channels": 8, "layers": 1, "candidates": ["k3_e1", "skip"]}, {"channels": 8, "layers": 1}]
    )
    supernet = Supernet(space)
    assert supernet.theta.shape == (2, 9)
    assert supernet.probabilities_LK[0, 2:].tolist() == [0.0] * 7
