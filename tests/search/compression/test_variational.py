"""Variational dropout: the divergence is the integral it stands for, layers draw what they say, noise prunes."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from search.compression import variational
from search.compression.layers import weighted
from search.compression.magnitude import density, sparsities
from search.compression.training import Recipe, Training, error
from search.compression.variational import NoisyConv, NoisyLinear, divergence, noisy
from search.datasets.data import ImageData, load_digits
from tests.search.compression.builders import convolutional, perceptron, tiny_network


def exact_divergence(log_alpha: float) -> float:
    """E log |z + 1 / sqrt(alpha)| - E log |z| over a Gaussian z: the divergence less its limit at endless noise."""
    mean = math.exp(-log_alpha / 2)

    def integrand(x: float) -> float:
        return float(math.log(abs(x)) * stats.norm.pdf(x, mean))

    ends = (mean - 12, mean + 12)
    parts = ((ends[0], 0.0), (0.0, ends[1])) if ends[0] < 0 else (ends,)
    found = sum(integrate.quad(integrand, *part, limit=400)[0] for part in parts)
    return found + (np.euler_gamma + math.log(2)) / 2


def test_the_divergence_is_within_0_012_of_the_exact_integral() -> None:
    for log_alpha in np.linspace(-8, 8, 33):
        found = divergence(torch.tensor(log_alpha)).item()
        assert found >= 0
        assert found == pytest.approx(exact_divergence(log_alpha), abs=0.012)


def test_outputs_have_the_mean_and_variance_of_drawn_weights() -> None:
    torch.manual_seed(0)
    linear, conv = NoisyLinear(nn.Linear(5, 3)).train(), NoisyConv(nn.Conv2d(4, 4, 3, padding=1, groups=2)).train()
    for layer, shape in ((linear, (1, 5)), (conv, (1, 4, 6, 6))):
        layer.log_sigma2.data.uniform_(-3, -1)
        x = torch.rand(shape)
        with torch.no_grad():
            drawn = layer(x.expand(20_000, *shape[1:]))
            sigma, plain = (layer.log_sigma2 / 2).exp(), layer.weight.clone()
            by_weights = []
            for _ in range(2000):
                layer.weight.copy_(plain + sigma * torch.randn_like(plain))
                layer.log_sigma2.fill_(-100.0)
                by_weights.append(layer(x))
        other = torch.cat(by_weights)
        torch.testing.assert_close(drawn.mean(0), other.mean(0), atol=0.08, rtol=0.0)
        torch.testing.assert_close(drawn.std(0), other.std(0), atol=0.03, rtol=0.1)


@pytest.mark.parametrize("make", [convolutional, tiny_network])
def test_without_noise_a_copy_computes_what_the_module_does(make, digits: ImageData) -> None:  # type: ignore[no-untyped-def]
    model = make().eval()
    found = noisy(model)
    x = torch.tensor(digits.x_train[:8]).float() / 255
    assert weighted(found).keys() == weighted(model).keys()
    # Weights below 3 % of the first deviation, exp(-5), are noise from the start.
    torch.testing.assert_close(found.eval()(x), model(x), atol=0.02, rtol=0.02)
    assert not isinstance(weighted(model)[next(iter(weighted(model)))], NoisyConv | NoisyLinear)


def test_the_penalty_makes_zeros_that_cost_little_and_the_same_ones_again() -> None:
    digits = load_digits()

    def trained() -> nn.Module:
        model, recipe = noisy(perceptron(64)), Recipe(epochs=60, batch_size=64, lr=0.01, optimizer="adam")
        training = Training(
            model, data=digits, recipe=recipe, seed=0,
            penalty=lambda step: variational.penalty(model, len(digits.y_train), warmup=min(1.0, step / 300)),
        )  # fmt: skip
        training.run()
        return model

    model = trained()
    masks = variational.masks(model)
    assert density(masks) < 0.35
    assert error(model, digits) < 0.1
    assert sparsities(variational.masks(trained())) == sparsities(masks)
