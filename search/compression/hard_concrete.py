"""L0 regularisation by hard concrete gates (Louizos 2018): channel groups that can be exactly 0, learnt by gradient.

    s = sigmoid((log u - log(1 - u) + log alpha) / beta),  z = min(1, max(0, s (zeta - gamma) + gamma))   (eq. 10, 11)
    P(z != 0) = sigmoid(log alpha - beta log(-gamma / zeta))                                              (eq. 12)

Gates stand on what a layer reads: after a layer, a BatchNorm in training would cancel them. How many should stay is a
target that is held, not a weight to tune: a Lagrangian whose multipliers climb (Wang 2020, sec. 3.2).
"""

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search.compression.layers import Weighted, weighted
from search.compression.plain import plain

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def probability(log_alpha: Tensor) -> Tensor:
    """P(z != 0), eq. 12."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


class Gates(nn.Module):
    """One gate for each group of `group` neighbouring channels. `kept` is the first P(z != 0)."""

    def __init__(self, channels: int, *, group: int = 1, kept: float = 0.9) -> None:
        super().__init__()
        if channels % group:
            raise ValueError(f"group: {channels} channels are no whole number of groups of {group}")
        self.group = group
        first = math.log(kept / (1 - kept)) + BETA * math.log(-GAMMA / ZETA)
        self.log_alpha = nn.Parameter(torch.full((channels // group,), first))

    def forward(self) -> Tensor:
        """A factor for each channel (C,): drawn in training, its middle without beta in evaluation (eq. 13)."""
        if self.training:
            u = torch.rand_like(self.log_alpha).clamp(1e-6, 1 - 1e-6)
            s = torch.sigmoid((u.log() - (-u).log1p() + self.log_alpha) / BETA)
        else:
            s = torch.sigmoid(self.log_alpha)
        return (s * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0).repeat_interleave(self.group)

    def open(self) -> Tensor:
        """Which channels stay in evaluation (C,), bool."""
        s = torch.sigmoid(self.log_alpha.detach())
        return (s * (ZETA - GAMMA) + GAMMA > 0).repeat_interleave(self.group)


class Gated(nn.Module):
    """A layer that reads its input through gates."""

    def __init__(self, layer: Weighted, *, group: int, kept: float) -> None:
        super().__init__()
        self.layer = layer
        channels = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
        self.gates = Gates(channels, group=group, kept=kept)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) as the layer does."""
        out: Tensor = self.layer(x * self.gates().view(1, -1, *[1] * (x.ndim - 2)))
        return out


def gated(model: nn.Module, groups: Mapping[str, int], *, kept: float = 0.9) -> nn.Module:
    """A copy of `model` in which each layer named in `groups` reads through gates on groups of so many channels. Raises
    ValueError on a name that is no layer's. A network of ours comes as search.compression.plain has it.
    """
    found = copy.deepcopy(plain(model))
    layers = weighted(found)
    for name, group in groups.items():
        if name not in layers:
            raise ValueError(f"groups: {name!r} is no layer of the model; it has {', '.join(layers)}")
        found.set_submodule(name, Gated(layers[name], group=group, kept=kept))
    return found


def _layers(model: nn.Module) -> dict[str, Gated]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Gated)}


def expected_density(model: nn.Module) -> Tensor:
    """The expected share of the gated layers' weights that are read: the L0 norm of eq. 3 over their number."""
    layers = list(_layers(model).values())
    total = sum(gated.layer.weight.numel() for gated in layers)
    shares = [probability(gated.gates.log_alpha).mean() * gated.layer.weight.numel() for gated in layers]
    return torch.stack(shares).sum() / total


def densities(model: nn.Module) -> dict[str, float]:
    """The share of each gated layer's inputs that stay in evaluation: a proposal of its width."""
    return {name: gated.gates.open().double().mean().item() for name, gated in _layers(model).items()}


class Target:
    """Draws the expected density down to `density`: a d + b d^2 of what it is over, a and b climbing by `rate` times
    their own gradient at each step. What is asked for falls from where the gates stand in a line over `ramp` steps, so
    that multipliers have not climbed too far before gates have moved (both Wang 2020, sec. 3.2).
    """

    def __init__(self, model: nn.Module, density: float, *, ramp: int, rate: float = 1.0) -> None:
        self.model, self.density, self.ramp, self.rate = model, density, ramp, rate
        self.first = expected_density(model).item()
        self.linear, self.square = 0.0, 0.0

    def penalty(self, step: int) -> Tensor:
        """What the loss gains in a step; the multipliers climb after it."""
        asked = self.density + (self.first - self.density) * max(0.0, 1 - step / self.ramp)
        over = expected_density(self.model) - asked
        value = self.linear * over + self.square * over.square()
        self.linear += self.rate * over.item()
        self.square += self.rate * over.item() ** 2
        return value

    def state_dict(self) -> dict[str, float]:
        """The multipliers, and where the density began."""
        return {"first": self.first, "linear": self.linear, "square": self.square}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Goes on where `state_dict` was taken."""
        self.first, self.linear, self.square = state["first"], state["linear"], state["square"]
