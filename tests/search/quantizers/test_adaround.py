"""Roundings that are learnt from what a layer gives err less than the nearest, on the same grid."""

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from search.kernels.grids import rounded_rows, row_sizes
from search.quantizers.adaround import Rounded, Rounds, adaround

SHORT = Rounds(steps=300)
HASTY = Rounds(steps=40, batch=8)


def padded(x_NCHW: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x_NCHW, weight, padding=1)


def correlated(count: int, channels: int) -> Tensor:
    """Features as of pictures: neighbours and channels go together."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, channels, 10, 10, generator=generator)
    mixed = torch.einsum("ij,njhw->nihw", torch.randn(channels, channels, generator=generator), noise)
    return F.avg_pool2d(mixed, 3, 1, 1).relu()


def weights() -> Tensor:
    return torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(1)) / 8


@cache
def learnt(bits: int) -> Rounded:
    x, w = correlated(128, 8), weights()
    sizes = row_sizes(w.flatten(1), bits)[:, 0]
    return adaround(w, sizes, x, padded(x, w), bits=bits, layer=padded, seed=0, rounds=SHORT)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_convolution_errs_at_most_two_thirds_of_rounding_to_nearest(bits: int) -> None:
    found, x, w = learnt(bits), correlated(128, 8), weights()
    nearest = rounded_rows(w.flatten(1), bits).view_as(w)
    assert found.nearest_error == pytest.approx(float((padded(x, nearest) - padded(x, w)).square().mean()), rel=1e-4)
    assert found.error == pytest.approx(float((padded(x, found.weight) - padded(x, w)).square().mean()), rel=1e-4)
    assert found.error < 0.67 * found.nearest_error


@pytest.mark.parametrize("bits", [2, 4])
def test_every_weight_is_on_the_grid_within_one_step(bits: int) -> None:
    found, w = learnt(bits), weights()
    size, top = row_sizes(w.flatten(1), bits).view(-1, 1, 1, 1), 2 ** (bits - 1) - 1
    steps = found.weight / size
    torch.testing.assert_close(steps, steps.round())
    assert steps.abs().max() < top + 1e-4
    assert ((steps - (w / size).clamp(-top, top)).abs() < 1 + 1e-5).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    x, w = correlated(64, 8), weights()
    sizes, outputs = row_sizes(w.flatten(1), 4)[:, 0], padded(x, w)
    first, again, other = (
        adaround(w, sizes, x, outputs, bits=4, layer=padded, seed=seed, rounds=HASTY).weight for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_on_the_grid_already_stays_there() -> None:
    x, w = correlated(64, 8), rounded_rows(weights().flatten(1), 4).view(16, 8, 3, 3)
    sizes = row_sizes(weights().flatten(1), 4)[:, 0]
    found = adaround(w, sizes, x, padded(x, w), bits=4, layer=padded, seed=0, rounds=Rounds(steps=20))
    torch.testing.assert_close(found.weight, w)


def test_a_layer_may_be_a_matrix_with_its_activation_and_read_rounded_inputs() -> None:
    """The error of the inputs is made good too (sec. 3.4), which no rounding to nearest could."""
    x = correlated(64, 8).permute(0, 2, 3, 1).flatten(0, 2)
    w = torch.randn(12, 8, generator=torch.Generator().manual_seed(2))

    def dense(x_NI: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x_NI, weight).relu()

    rounded = torch.floor(x / 0.25) * 0.25
    sizes = row_sizes(w, 3)[:, 0]
    found = adaround(w, sizes, rounded, dense(x, w), bits=3, layer=dense, seed=0, rounds=SHORT)
    assert found.error < 0.8 * found.nearest_error


def test_rows_without_a_step_are_refused() -> None:
    with pytest.raises(ValueError, match="size_O: a step of 0"):
        adaround(weights(), torch.zeros(16), correlated(8, 8), torch.zeros(8), bits=4, layer=padded, seed=0)
