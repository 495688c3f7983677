"""Gradients of LSQ and PACT are those of the papers, and derivatives where rounding has one."""

import math

import pytest
import torch
from torch import Tensor

from search.kernels.grids import Grids, on_grids, rounded_rows, row_sizes
from search.kernels.learnt import lsq, lsq_size, pact

BOTTOM, TOP = -4.0, 3.0  # 3 bits, two's complement


def gradients(out: Tensor, *inputs: Tensor) -> list[Tensor]:
    """For an upstream gradient of 1, 2, 3, ..."""
    upstream = torch.arange(1.0, out.numel() + 1).view_as(out)
    return list(torch.autograd.grad(out, inputs, upstream))


def test_lsq_has_the_gradients_of_equations_3_and_5() -> None:
    size = torch.tensor(0.5, requires_grad=True)
    x = torch.tensor([-3.0, -2.0, -0.6, 0.1, 0.7, 1.5, 9.0], requires_grad=True)  # -6, -4, -1.2, 0.2, 1.4, 3, 18 steps
    out = lsq(x, size, BOTTOM, TOP)
    assert out.tolist() == [-2.0, -2.0, -0.5, 0.0, 0.5, 1.5, 1.5]
    by_x, by_size = gradients(out, x, size)
    assert by_x.tolist() == [0, 0, 3, 4, 5, 0, 0]
    slopes = [-4, -4, -1 + 1.2, 0 - 0.2, 1 - 1.4, 3, 3]
    total = sum(k * slope for k, slope in enumerate(slopes, 1))
    assert by_size.item() == pytest.approx(total / math.sqrt(7 * TOP), rel=1e-5)


def test_lsq_by_row_is_lsq_of_each_row() -> None:
    x = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sizes = torch.tensor([0.1, 0.3, 2.0], requires_grad=True)
    by_x, by_size = gradients(lsq(x, sizes, BOTTOM, TOP), x, sizes)
    upstream = torch.arange(1.0, x.numel() + 1).view_as(x)
    for row in range(3):
        size = sizes[row].detach().requires_grad_()
        own = x[row].detach().requires_grad_()
        g_x, g_size = torch.autograd.grad(lsq(own, size, BOTTOM, TOP), [own, size], upstream[row])
        assert torch.equal(by_x[row], g_x)
        assert by_size[row].item() == pytest.approx(g_size.item(), rel=1e-5)


def test_lsq_counts_the_features_it_is_given() -> None:
    x, size = torch.randn(8, 5), torch.tensor(0.2, requires_grad=True)
    (whole,), (features,) = (gradients(lsq(x, size, BOTTOM, TOP, count=n), size) for n in (40, 5))
    assert features.item() == pytest.approx(whole.item() * math.sqrt(8))


@pytest.mark.parametrize(("x", "size"), [(5.0, 0.5), (-7.0, 0.5)])
def test_where_lsq_clips_its_gradient_is_the_numerical_derivative(x: float, size: float) -> None:
    value, step = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, size))
    by_x, by_size = gradients(lsq(value, step, BOTTOM, TOP), value, step)
    h = 1e-6
    above, below = (lsq(value.detach(), step.detach() + d, BOTTOM, TOP).item() for d in (h, -h))
    assert by_size.item() * math.sqrt(TOP) == pytest.approx((above - below) / (2 * h))
    assert by_x.item() == 0


def test_lsq_rounds_as_blocks_do() -> None:
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    sizes = row_sizes(x, 4)[:, 0]
    assert torch.equal(lsq(x, sizes, -7, 7), rounded_rows(x, 4))
    grids = Grids((4,), torch.tensor([0.0, 1.0]), signed=False, rms=0.5)
    ours = lsq(x.relu(), torch.tensor(grids.sizes[0]), 0, 15)
    torch.testing.assert_close(ours, on_grids(x.relu(), grids), rtol=1e-6, atol=1e-6)


def test_steps_that_lsq_learns_err_less_than_those_it_starts_from() -> None:
    x = torch.randn(4, 500, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.1], [1.0], [3.0], [9.0]])
    size = lsq_size(x, 7, per_row=True)
    assert size.tolist() == pytest.approx([2 * r.abs().mean().item() / math.sqrt(7) for r in x])
    assert lsq_size(x, 7).ndim == 0
    learnt = size.clone().requires_grad_()
    optimizer = torch.optim.SGD([learnt], 0.02)

    def error() -> Tensor:
        return ((lsq(x, learnt, -7, 7) - x) / x.std(1, keepdim=True)).square().mean(1)

    before = error().detach()
    for _ in range(100):
        optimizer.zero_grad()
        (error() * size.detach().square()).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert (error() < before).all()


def test_pact_has_the_gradients_of_equation_3() -> None:
    clip = torch.tensor(1.5, requires_grad=True)
    x = torch.tensor([-1.0, 0.0, 0.2, 0.8, 1.49, 1.5, 4.0], requires_grad=True)
    out = pact(x, clip, 2)
    assert out.tolist() == [0.0, 0.0, 0.0, 1.0, 1.5, 1.5, 1.5]
    by_x, by_clip = gradients(out, x, clip)
    assert by_x.tolist() == [0, 2, 3, 4, 5, 0, 0]
    assert by_clip.item() == 6 + 7


def test_where_pact_clips_its_gradient_is_the_numerical_derivative() -> None:
    x, clip = torch.tensor([2.0, 5.0], dtype=torch.float64), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    (by_clip,) = torch.autograd.grad(pact(x, clip, 4).sum(), clip)
    above, below = (pact(x, clip.detach() + d, 4).sum().item() for d in (1e-6, -1e-6))
    assert by_clip.item() == pytest.approx((above - below) / 2e-6)


def test_sizes_and_clips_that_are_none_are_refused() -> None:
    x = torch.ones(3, 2)
    with pytest.raises(ValueError, match="a step of -1 is none"):
        lsq(x, torch.tensor(-1.0), BOTTOM, TOP)
    with pytest.raises(ValueError, match=r"size: \(2,\) is neither \(\) nor one for each of the 3 rows"):
        lsq(x, torch.ones(2), BOTTOM, TOP)
    with pytest.raises(ValueError, match="clip: 0 is not above 0"):
        pact(x, torch.tensor(0.0), 4)
