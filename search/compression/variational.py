"""Sparse variational dropout (Molchanov 2017): each weight has noise of its own, and what is mostly noise goes.

A weight is N(theta, sigma^2), with log alpha = log sigma^2 - log theta^2. Under a log-uniform prior the KL divergence
pulls alpha up where the loss allows it; above log alpha = 3 a weight is 95 % noise and is pruned. Layers draw their
outputs, not their weights (local reparameterisation, Kingma 2015): y ~ N(x theta, x^2 sigma^2).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.compression.layers import weighted
from search.compression.magnitude import Masks
from search.compression.plain import plain

K1, K2, K3 = 0.63576, 1.87320, 1.48695  # Molchanov 2017, eq. 14
THRESHOLD = 3.0  # of log alpha (sec. 4.4 there)
FIRST_LOG_SIGMA2 = -10.0
MOST_LOG_ALPHA = 8.0  # beyond it the divergence is flat, and theta^2 underflows
TINY = 1e-8


def divergence(log_alpha: Tensor) -> Tensor:
    """KL of the noise from the log-uniform prior, each weight (Molchanov 2017, eq. 14, negated; at least 0):

    k1 + 0.5 log(1 + 1 / alpha) - k1 sigmoid(k2 + k3 log alpha)
    """
    return K1 + 0.5 * F.softplus(-log_alpha) - K1 * torch.sigmoid(K2 + K3 * log_alpha)


class _Noisy(nn.Module):
    weight: Tensor
    log_sigma2: nn.Parameter

    def log_alpha(self) -> Tensor:
        """Noise over signal, in the weight's shape."""
        found = self.log_sigma2 - torch.log(self.weight.square() + TINY)
        return found.clamp(-MOST_LOG_ALPHA, MOST_LOG_ALPHA)

    def mask(self) -> Tensor:
        """True where a weight stays."""
        return self.log_alpha().detach() <= THRESHOLD

    def _start(self) -> None:
        self.log_sigma2 = nn.Parameter(torch.full_like(self.weight, FIRST_LOG_SIGMA2))


class NoisyLinear(nn.Linear, _Noisy):
    """A linear layer with noise of each weight; without it, and pruned, in evaluation mode."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias="bias" in layer.state_dict())
        self.load_state_dict(layer.state_dict())
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        if not self.training:
            return F.linear(x, self.weight * self.mask(), self.bias)
        variance = F.linear(x.square(), self.log_sigma2.exp())
        return _drawn(F.linear(x, self.weight, self.bias), variance)


class NoisyConv(nn.Conv2d, _Noisy):
    """The same of a convolution with zeros around it."""

    def __init__(self, layer: nn.Conv2d) -> None:
        shape = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        super().__init__(*shape, layer.groups, "bias" in layer.state_dict())  # type: ignore[arg-type]  # the layer's own
        self.load_state_dict(layer.state_dict())
        self._start()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """As the convolution does."""
        if not self.training:
            return self._convolved(x_NCHW, self.weight * self.mask(), self.bias)
        variance = self._convolved(x_NCHW.square(), self.log_sigma2.exp(), None)
        return _drawn(self._convolved(x_NCHW, self.weight, self.bias), variance)

    def _convolved(self, x_NCHW: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x_NCHW, weight, bias, self.stride, self.padding, self.dilation, self.groups)


def _drawn(mean: Tensor, variance: Tensor) -> Tensor:
    return mean + (variance + TINY).sqrt() * torch.randn_like(mean)


def noisy(model: nn.Module) -> nn.Module:
    """A copy of `model` whose layers have noise. Draws are torch's global ones: train within search.randomness.seeded,
    as search.compression.training does. A network of ours comes as search.compression.plain has it.
    """
    found = copy.deepcopy(plain(model))
    for name, layer in weighted(found).items():
        found.set_submodule(name, NoisyLinear(layer) if isinstance(layer, nn.Linear) else NoisyConv(layer))
    return found


def _layers(model: nn.Module) -> dict[str, _Noisy]:
    return {name: module for name, module in model.named_modules() if isinstance(module, _Noisy)}


def penalty(model: nn.Module, examples: int, *, warmup: float = 1.0) -> Tensor:
    """What a mean cross-entropy gains by the divergences of all weights: their sum over the number of training
    pictures, times `warmup` from 0 to 1 (Sonderby 2016): at full strength from the start, weights go that never had
    their chance.
    """
    total = torch.stack([divergence(layer.log_alpha()).sum() for layer in _layers(model).values()]).sum()
    return warmup / examples * total


def masks(model: nn.Module) -> Masks:
    """What stays of each layer: a proposal of its sparsity."""
    return {name: layer.mask() for name, layer in _layers(model).items()}
