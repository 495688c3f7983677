"""Grids as data: their conventions are those of the blocks, 0 is a value, gradients pass where they should."""

import pytest
import torch

from search.kernels.grids import Grids, on_grids, rounded_rows, row_sizes, weight_top
from search.quantizers.affine import (
    Affine,
    Kind,
    Range,
    dequantize,
    dynamic,
    fake_quantize,
    quantize,
    range_of,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_ends_are_those_of_the_integers_that_devices_hold() -> None:
    ends = {kind: Affine(8, kind).ends for kind in ("narrow", "signed", "unsigned", "asymmetric")}
    assert ends == {"narrow": (-127, 127), "signed": (-128, 127), "unsigned": (0, 255), "asymmetric": (0, 255)}


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_narrow_quantiser_by_channel_is_how_blocks_round_weights(bits: int) -> None:
    w = random(6, 40).requires_grad_()
    affine = Affine(bits, per="channel")
    clip = row_sizes(w.detach(), bits).double() * weight_top(bits)
    ours = fake_quantize(w, affine, affine.steps(Range(-clip, clip)), passes_beyond=True)
    assert torch.equal(ours, rounded_rows(w, bits))
    (gradient,) = torch.autograd.grad((ours * 3).sum(), w)
    assert torch.equal(gradient, torch.full_like(w, 3))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_the_quantiser_of_a_tensor_is_how_blocks_round_activations(bits: int, signed: bool) -> None:
    x = (random(3, 5, 4, 4) if signed else random(3, 5, 4, 4).relu()).requires_grad_()
    grids = Grids((bits,), torch.tensor([0.0, 1.0]), signed=signed, rms=0.6)
    affine = Affine(bits, "signed" if signed else "unsigned")
    high = torch.tensor([[grids.sizes[0] * grids.tops[0]]], dtype=torch.float64)
    ours, theirs = fake_quantize(x, affine, affine.steps(Range(high * 0, high))), on_grids(x, grids)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert torch.equal(*(torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs)))


@pytest.mark.parametrize("kind", ["narrow", "signed", "unsigned", "asymmetric"])
def test_zero_is_exactly_a_value(kind: Kind) -> None:
    x = random(4, 30).abs() + 0.3 if kind == "unsigned" else random(4, 30) + 0.3
    x[:, 0] = 0
    for bits in (2, 3, 8):
        assert not dynamic(x, Affine(bits, kind, "channel"))[:, 0].any()


def test_an_asymmetric_grid_reaches_both_ends_of_a_range_that_leans() -> None:
    affine = Affine(4, "asymmetric")
    x = torch.tensor([-0.5, 0.0, 1.0, 2.5])
    steps = affine.steps(range_of(x, affine))
    assert steps.size.item() == pytest.approx(0.2)
    assert steps.zero.item() == 2  # -0.5 is 2.5 steps off, halves to even
    assert quantize(x, affine, steps).tolist() == [0, 2, 7, 14]
    assert dynamic(x, affine).tolist() == pytest.approx([-0.4, 0.0, 1.0, 2.4])


def test_a_range_on_one_side_of_zero_is_widened_to_hold_it() -> None:
    affine = Affine(8, "asymmetric")
    above, below = (affine.steps(range_of(torch.tensor(x), affine)) for x in ([2.0, 5.1], [-5.1, -2.0]))
    assert (above.zero.item(), below.zero.item()) == (0, 255)
    assert above.size.item() == below.size.item() == pytest.approx(0.02)


def test_halves_are_rounded_to_even_before_the_zero_is_added() -> None:
    affine = Affine(3, "asymmetric")
    steps = affine.steps(Range(torch.tensor([[-3.0]]), torch.tensor([[4.0]])))
    assert steps.zero.item() == 3
    assert quantize(torch.tensor([-1.5, -0.5, 0.5, 1.5]), affine, steps).tolist() == [1, 3, 3, 5]


def test_groups_share_a_step_along_the_input_channels() -> None:
    w = random(4, 6, 3, 3)
    w[:, 2:4] *= 100
    by_group = dynamic(w, Affine(8, per=2))
    for start in (0, 2, 4):
        part = w[:, start : start + 2]
        assert torch.equal(by_group[:, start : start + 2], dynamic(part, Affine(8, per="channel")))
    assert torch.equal(dynamic(w, Affine(8, per=6)), dynamic(w, Affine(8, per="channel")))
    with pytest.raises(ValueError, match=r"groups of 4 input channels do not divide a tensor of \(4, 6, 3, 3\)"):
        dynamic(w, Affine(8, per=4))


def test_finer_granularity_errs_less() -> None:
    w = random(8, 16, 1, 1) * torch.logspace(-1, 1, 8).view(-1, 1, 1, 1) * torch.logspace(-1, 1, 16).view(1, -1, 1, 1)
    errors = [float((dynamic(w, Affine(4, per=per)) - w).square().mean()) for per in ("tensor", "channel", 4)]
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2]


def test_static_steps_clip_what_dynamic_ones_hold() -> None:
    affine = Affine(8, "signed")
    static = affine.steps(range_of(random(100), affine))
    outlier = torch.tensor([1000.0, -1.0])
    assert fake_quantize(outlier, affine, static)[0] < 5
    assert dynamic(outlier, affine)[0] == pytest.approx(1000)


def test_gradients_are_zero_beyond_half_a_step_of_the_grid() -> None:
    affine = Affine(3, "asymmetric")
    steps = affine.steps(Range(torch.tensor([[-3.0]]), torch.tensor([[4.0]])))
    x = torch.tensor([-4.0, -3.4, 0.2, 4.4, 4.6], requires_grad=True)
    for passes, expected in ((False, [0, 1, 1, 1, 0]), (True, [1] * 5)):
        (gradient,) = torch.autograd.grad(fake_quantize(x, affine, steps, passes_beyond=passes).sum(), x)
        assert gradient.tolist() == expected


@pytest.mark.parametrize("kind", ["narrow", "signed", "asymmetric"])
def test_steps_and_values_are_each_others_inverse(kind: Kind) -> None:
    x, affine = random(5, 7), Affine(5, kind, "channel")
    steps = affine.steps(range_of(x, affine))
    q = quantize(x, affine, steps)
    assert torch.equal(q, q.round())
    assert torch.equal(quantize(dequantize(q, affine, steps), affine, steps), q)


def test_rows_of_zeros_stay_zeros() -> None:
    for kind in ("narrow", "asymmetric"):
        assert not dynamic(torch.zeros(2, 5), Affine(4, kind, "channel")).any()


def test_what_is_no_quantiser_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bits: 1 is not between 2 and 16"):
        Affine(1)
    with pytest.raises(ValueError, match="kind: 'wide' is none of narrow"):
        Affine(8, "wide")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="per: 0 is neither"):
        Affine(8, per=0)
    with pytest.raises(ValueError, match="begins at -1, an unsigned grid at 0"):
        dynamic(torch.tensor([-1.0, 1.0]), Affine(8, "unsigned"))
    with pytest.raises(ValueError, match="not finite"):
        dynamic(torch.tensor([float("nan"), 1.0]), Affine(8))
