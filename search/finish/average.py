"""A moving average of weights: steadier than those of any one step (Polyak 1992)."""

import torch
from torch import nn

from search.state import State


class Average:
    """The average of the parameters of `network`, from where they are now. Buffers are not averaged: masks are of the
    last step, and BatchNorm is recalibrated for the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.averaged = {name: p.detach().clone() for name, p in network.named_parameters()}

    def take(self, step: int) -> None:
        """Counts the parameters after step `step`, from 0. The decay is (1 + step) / (10 + step) at first, so that
        a short training does not keep where it began.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.averaged[name].lerp_(parameter, 1 - decay)

    def write(self) -> None:
        """Gives the network the averaged parameters."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(self.averaged[name])

    def state_dict(self) -> State:
        """The average, by parameter."""
        return dict(self.averaged)

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken."""
        for name, value in self.averaged.items():
            value.copy_(state[name])
