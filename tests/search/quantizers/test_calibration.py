"""Ranges from samples agree with what is known of distributions, and depend on the samples alone."""

import pytest
import torch
from torch import Tensor

from search.kernels.grids import SIGNED_CLIP, UNSIGNED_CLIP, WEIGHT_CLIP
from search.quantizers import calibration as calibration_module
from search.quantizers.affine import Affine, Range, dynamic, fake_quantize
from search.quantizers.calibration import CALIBRATIONS, Observer, calibrated, calibration

GAUSSIAN = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
UNIFORM = torch.rand(200_000, generator=torch.Generator().manual_seed(0)) * 2 - 1


def seen(*batches: Tensor) -> Observer:
    observer = Observer()
    for x in batches:
        observer.observe(x)
    return observer


def clip(x: Tensor, affine: Affine, method: str) -> float:
    """Where the grid ends above."""
    return float(affine.steps(calibration(method)(seen(x), affine)).size) * affine.ends[1]


def error(x: Tensor, affine: Affine, end: float) -> float:
    high = torch.tensor([[end]])
    return float((fake_quantize(x, affine, affine.steps(Range(high * 0, high))) - x).square().mean())


@pytest.mark.parametrize("bits", sorted(WEIGHT_CLIP))
def test_the_mse_clip_of_a_gaussian_is_that_of_weights(bits: int) -> None:
    assert clip(GAUSSIAN, Affine(bits), "mse") == pytest.approx(WEIGHT_CLIP[bits], rel=0.025)


@pytest.mark.parametrize("bits", sorted(SIGNED_CLIP))
def test_the_clips_of_activations_err_least_on_a_gaussian_up_to_5_bits_and_a_little_more_beyond(bits: int) -> None:
    signed, unsigned = (GAUSSIAN, Affine(bits, "signed")), (GAUSSIAN.relu(), Affine(bits, "unsigned"))
    for (x, affine), clips in ((signed, SIGNED_CLIP), (unsigned, UNSIGNED_CLIP)):
        assert error(x, affine, clips[bits]) <= (1.01 if bits <= 5 else 1.4) * error(x, affine, clip(x, affine, "mse"))


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_the_mse_range_of_a_uniform_distribution_is_the_whole_within_half_a_step(bits: int) -> None:
    """The last step rounds half a step beyond its value as well as inside: it ends at top / (top + 1/2)."""
    affine = Affine(bits)
    top = affine.ends[1]
    assert clip(UNIFORM, affine, "min-max") == pytest.approx(1, abs=1e-4)
    assert clip(UNIFORM, affine, "mse") == pytest.approx(top / (top + 0.5), rel=0.012)


def test_percentiles_of_known_data_are_exact() -> None:
    affine, lean = Affine(8), Affine(8, "asymmetric")
    numbers = seen(torch.arange(1, 1001).float())
    assert float(calibration("percentile@90")(numbers, affine).high) == 900
    assert float(calibration("percentile@99.9")(numbers, affine).high) == 999
    assert float(calibration("percentile@100")(numbers, affine).high) == 1000
    both = seen(torch.arange(1, 1001).float(), -torch.arange(1, 1001).float())
    assert float(calibration("percentile@90")(both, affine).low) == -900
    tails = calibration("percentile@80")(seen(torch.arange(-500, 501).float()), lean)
    assert (float(tails.low), float(tails.high)) == (-400, 400)


def test_zeros_count_in_percentiles() -> None:
    half = seen(torch.zeros(1000), torch.arange(1, 1001).float())
    assert float(calibration("percentile@90")(half, Affine(8, "unsigned")).high) == 800


def test_entropy_keeps_a_heavy_tail_out_and_min_max_does_not() -> None:
    affine = Affine(8)
    x = torch.cat([GAUSSIAN, torch.linspace(-100, 100, 40)])
    assert clip(x, affine, "min-max") == pytest.approx(100)
    assert 3 < clip(x, affine, "entropy") < 15
    assert 3 < clip(x, affine, "percentile") < 15


def test_entropy_holds_nearly_all_of_a_gaussian_and_of_its_positive_half() -> None:
    """Zeros after a ReLU say nothing of where a grid should end."""
    for x, affine in ((GAUSSIAN, Affine(8)), (GAUSSIAN.relu(), Affine(8, "unsigned"))):
        assert 3 < clip(x, affine, "entropy") <= float(GAUSSIAN.abs().max())


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_batches_in_any_order_and_size_leave_the_same_bits(method: str) -> None:
    x = GAUSSIAN[:5000] * torch.logspace(-3, 3, 5000)
    whole, parts, back = seen(x), seen(*torch.split(x, 700)), seen(*reversed(torch.split(x, 13)))
    for other in (parts, back):
        assert torch.equal(whole.counts_SB, other.counts_SB)
        for affine in (Affine(4), Affine(8, "asymmetric")):
            ends = [calibration(method)(o, affine) for o in (whole, other)]
            assert ends[0] == ends[1]


def test_a_tensor_counted_in_parts_leaves_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).relu()
    whole, parts = Observer(), Observer()
    whole.observe(x)
    monkeypatch.setattr(calibration_module, "AT_ONCE", 64)
    parts.observe(x)
    assert torch.equal(whole.counts_SB, parts.counts_SB)
    assert (whole.zeros, whole.count, whole.high) == (parts.zeros, parts.count, parts.high)
    assert whole.zeros == int((x == 0).sum())


def test_a_histogram_widens_without_losing_a_value() -> None:
    observer = seen(torch.zeros(5), torch.full((7,), 1e-6), torch.full((3,), -1e-3), torch.tensor([2.0e9]))
    assert (observer.count, observer.zeros, int(observer.counts_SB.sum())) == (16, 5, 11)
    assert (observer.low, observer.high) == (torch.tensor(-1e-3).item(), 2.0e9)
    assert len(observer.magnitudes_B) >= 2048


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_zeros_alone_and_one_value_alone_have_a_grid(method: str) -> None:
    for kind in ("narrow", "unsigned", "asymmetric"):
        affine = Affine(4, kind)
        assert not fake_quantize(torch.zeros(3), affine, calibrated(torch.zeros(3), affine, method)).any()
        x = torch.full((10,), 0.75)
        torch.testing.assert_close(fake_quantize(x, affine, calibrated(x, affine, method)), x, rtol=0.1, atol=0)


def test_rows_are_calibrated_each_for_itself() -> None:
    w = GAUSSIAN[:4000].view(4, 1000) * torch.logspace(-1, 1, 4)[:, None]
    affine = Affine(4, per="channel")
    by_mse = fake_quantize(w, affine, calibrated(w, affine, "mse"))
    assert ((by_mse - w).square().mean(1) < (dynamic(w, affine) - w).square().mean(1)).all()
    ends = calibrated(w, affine, "min-max").size * 7
    torch.testing.assert_close(ends, w.abs().amax(1, keepdim=True))


def test_what_is_no_calibration_is_refused() -> None:
    for name in ("median", "percentile@0", "percentile@101", "percentile@"):
        with pytest.raises(ValueError, match="is none of min-max, percentile, entropy, mse"):
            calibration(name)
    for x in (torch.tensor([1.0, float("inf")]), torch.zeros(0)):
        with pytest.raises(ValueError, match="an observer was shown"):
            seen(x)
