"""The compiled kernels compute what plain torch does, forward and backward, on one thread as on two."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from search.kernels import (
    Grids,
    Views,
    depthwise,
    mix_views,
    norm_act,
    on_grids,
    parts,
    plain_mix_views,
    rounded,
    rounded_rows,
    row_sizes,
    sizes_of_rows,
    step_rows,
)
from search.kernels.learnt import lsq, pact


@pytest.fixture(params=[1, 2], autouse=True)
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parts, "SMALL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_parts_stay_in_their_order_whichever_is_done_first() -> None:
    last = threading.Event()

    def work(number: int, part: slice) -> tuple[int, slice]:
        if number == 0:
            assert last.wait(60)
        elif number == 2:
            last.set()
        return number, part

    torch.set_num_threads(3)
    assert parts.in_parts(7, 7, work) == [(0, slice(0, 2)), (1, slice(2, 4)), (2, slice(4, 7))]


def picture(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()


def gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    return [out.detach(), *torch.autograd.grad((out * torch.randn_like(out)).sum(), inputs)]


def assert_close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [None, (8,), (8, 4, 2)])
@pytest.mark.parametrize("batch_statistics", [True, False])
def test_norm_act_is_batchnorm_relu_and_rounding(bits: tuple[int, ...] | None, batch_statistics: bool) -> None:
    torch.manual_seed(0)
    y, weight, bias = picture(5, 12, 7, 6), torch.rand(12, requires_grad=True), torch.randn(12, requires_grad=True)
    shares = torch.rand(4 if bits and len(bits) == 3 else 2, requires_grad=True)
    grids = Grids(bits, shares, signed=False, rms=0.7) if bits else None
    variance, mean = (
        torch.var_mean(y.detach(), (0, 2, 3), correction=0) if batch_statistics else (torch.rand(12), torch.rand(12))
    )
    inputs = [y, weight, bias, *([shares] if bits else [])]
    ours, square = norm_act(
        y, weight, bias, mean, variance, eps=1e-5, grids=grids, batch_statistics=batch_statistics
    )  # fmt: skip
    stored_mean, stored_variance = (None, None) if batch_statistics else (mean, variance)
    normed = torch.relu(F.batch_norm(y, stored_mean, stored_variance, weight, bias, batch_statistics))
    assert_close(gradients(ours, inputs), gradients(on_grids(normed, grids) if grids else normed, inputs))
    assert square == pytest.approx(normed.square().mean().item(), rel=1e-4)


def test_a_block_input_is_rounded_on_signed_grids() -> None:
    torch.manual_seed(0)
    x, shares = picture(5, 12, 7, 6), torch.rand(3, requires_grad=True)
    grids = Grids((8, 3), shares, signed=True, rms=0.8)
    ours, square = rounded(x, grids)
    assert_close(gradients(ours, [x, shares]), gradients(on_grids(x, grids), [x, shares]))
    assert square == pytest.approx(x.square().mean().item(), rel=1e-4)


ONLY_GRID = torch.tensor([0.0, 1.0])


@pytest.mark.parametrize("clips_only", [False, True])
@pytest.mark.parametrize("bits", [8, 2])
def test_a_step_that_learns_behind_a_norm_has_the_gradient_of_the_papers(bits: int, clips_only: bool) -> None:
    torch.manual_seed(0)
    y, weight, bias = picture(5, 12, 7, 6), torch.rand(12, requires_grad=True), torch.randn(12, requires_grad=True)
    step = torch.tensor(1.3 / 2**bits, requires_grad=True)
    grids = Grids((bits,), ONLY_GRID, signed=False, rms=9.0, step=step, clips_only=clips_only)
    variance, mean = torch.var_mean(y.detach(), (0, 2, 3), correction=0)
    inputs = [y, weight, bias, step]
    ours, square = norm_act(y, weight, bias, mean, variance, eps=1e-5, grids=grids, batch_statistics=True)
    normed = torch.relu(F.batch_norm(y, None, None, weight, bias, True))
    theirs = pact(normed, step * (2**bits - 1), bits) if clips_only else lsq(normed, step, 0, 2**bits - 1)
    assert_close(gradients(ours, inputs), gradients(theirs, inputs))
    assert square == pytest.approx(normed.square().mean().item(), rel=1e-4)


@pytest.mark.parametrize("bits", [8, 2])
def test_a_step_that_learns_on_a_signed_grid_has_the_gradient_of_the_paper(bits: int) -> None:
    torch.manual_seed(0)
    x, step = picture(5, 12, 7, 6), torch.tensor(1.7 / 2**bits, requires_grad=True)
    ours, _ = rounded(x, Grids((bits,), ONLY_GRID, signed=True, rms=9.0, step=step))
    assert_close(
        gradients(ours, [x, step]), gradients(lsq(x, step, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), [x, step])
    )


@pytest.mark.parametrize("bits", [8, 2])
def test_steps_that_learn_by_row_have_the_gradient_of_the_paper(bits: int) -> None:
    torch.manual_seed(0)
    w, scale = torch.randn(6, 40, requires_grad=True), torch.linspace(0.5, 1.5, 6)
    size, top = (scale * row_sizes(w.detach(), bits)[:, 0]).requires_grad_(), 2 ** (bits - 1) - 1
    assert_close(gradients(step_rows(w, size, bits), [w, size]), gradients(lsq(w, size, -top, top), [w, size]))


def test_rows_take_the_sizes_that_plain_torch_gives() -> None:
    torch.manual_seed(0)
    w = torch.randn(6, 40) * torch.rand(6, 40).round()
    for bits in (8, 4, 2):
        torch.testing.assert_close(sizes_of_rows(w, bits), row_sizes(w, bits)[:, 0], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 7), (5, 1, 4), (5, 2, 8), (3, 2, 7), (5, 2, 3)])
def test_a_depthwise_weight_has_torchs_gradient(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    x, weight = picture(3, 150, size, size), torch.randn(150, 1, kernel, kernel, requires_grad=True)
    theirs = F.conv2d(x, weight, None, stride, kernel // 2, groups=150)
    assert_close(gradients(depthwise(x, weight, stride), [x, weight]), gradients(theirs, [x, weight]))


@pytest.mark.parametrize("sparse", [False, True])
def test_views_of_a_weight_are_mixed(sparse: bool) -> None:
    torch.manual_seed(0)
    weight, shares, kept = (torch.randn(s).requires_grad_() for s in ((6, 20), (3, 3), (3, 3)))
    levels = torch.randint(0, 3, (3, 6, 20), dtype=torch.uint8) if sparse else None
    views = Views(((4, 8), (4, 20), (0, 4)), (8, 3), levels)
    inputs = [weight, shares, *([kept] if sparse else [])]
    ours, theirs = (mix(weight, shares, kept, views) for mix in (mix_views, plain_mix_views))
    assert_close(gradients(ours, inputs), gradients(theirs, inputs))


@pytest.mark.parametrize(("bits", "most_error"), [(2, 0.20), (3, 0.055), (4, 0.018), (8, 0.0002)])
def test_weight_grids_err_little_on_a_gaussian_and_never_beyond_their_ends(bits: int, most_error: float) -> None:
    """Theory (a Gaussian's least squared error, in variances): 0.190, 0.047, 0.0129, 0.00009."""
    w = torch.randn(16, 512, generator=torch.Generator().manual_seed(0))
    rounded = rounded_rows(w, bits)
    assert (rounded - w).square().mean() < most_error
    for row, own in zip(rounded, w, strict=True):
        steps = row.unique()
        assert len(steps) <= 2**bits - 1
        assert row.abs().max() <= own.abs().max() * (1 + 1e-6)


def test_zeros_of_other_groups_do_not_narrow_a_weight_grid() -> None:
    w = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    masked = torch.cat([w, torch.zeros(4, 32)], 1)
    assert torch.equal(rounded_rows(masked, 2)[:, :32], rounded_rows(w, 2))
