"""Pictures made of statistics alone size grids nearly as real ones do."""

from functools import cache

import torch
from torch import Tensor

from search.quantizers.grids import places_of
from search.quantizers.zero_shot import pictures_from_statistics, statistics_loss
from tests.search.quantizers.builders import calibration_batches, rounded_twin, trained

STEPS = 120


@cache
def made() -> Tensor:
    return pictures_from_statistics(trained(), 64, seed=0, steps=STEPS)


def noise() -> Tensor:
    return torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def sizes(batches: list[Tensor]) -> Tensor:
    """Of the grid at every place that rounds."""
    places = places_of(rounded_twin(trained(), "w8a8", batches))
    return torch.tensor([place.step_size(affine.bits) for place, affine in places])


def test_pictures_are_pixels_whose_statistics_are_those_of_training() -> None:
    x, network = made(), trained()
    assert x.shape == (64, 1, 8, 8)
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    with torch.no_grad():
        of_made, of_noise = (float(statistics_loss(network, pixels)) for pixels in (x, noise()))
    assert of_made < 0.05 * of_noise


def test_grids_come_within_an_eighth_of_those_of_real_pictures_and_noise_does_not() -> None:
    real = sizes(calibration_batches())
    of_made, of_noise = ((sizes([x]) / real - 1).abs() for x in (made(), noise()))
    assert float(of_made.max()) < 0.125
    assert float(of_made.mean()) < 0.03
    assert float(of_noise.max()) > 0.2
    assert float(of_noise.mean()) > 4 * float(of_made.mean())


def test_the_same_seed_gives_the_same_pictures_and_leaves_the_network_alone() -> None:
    network = trained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, again, other = (pictures_from_statistics(network, 8, seed=seed, steps=3) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_longer_comes_nearer() -> None:
    network, long = trained(), made()
    hasty = pictures_from_statistics(network, 64, seed=0, steps=20)
    with torch.no_grad():
        assert float(statistics_loss(network, long)) < float(statistics_loss(network, hasty))
