"""From what torch trains to the weights that `latency.weights` names: BatchNorm folded in, and the steps of grids."""

import numpy as np
import torch
from torch import Tensor, nn

from search.norms import OwnStep
from search.quantizers.rows import RoundedConv, RoundedLinear

Folded = dict[str, np.ndarray]


def fold(weight: Tensor, bn: nn.BatchNorm2d, name: str) -> Folded:
    """Weight and bias of a convolution with the BatchNorm after it folded in (Jacob 2017, eq. 14), computed in
    float64.
    """
    gain = _gain(bn)
    folded = weight.detach().double() * gain.view(-1, 1, 1, 1)
    assert bn.running_mean is not None
    bias = bn.bias.detach().double() - bn.running_mean.double() * gain
    return {f"{name}.weight": folded.float().contiguous().numpy(), f"{name}.bias": bias.float().numpy()}


def weight_sizes(layer: RoundedConv | RoundedLinear, bits: int, name: str, bn: nn.BatchNorm2d | None = None) -> Folded:
    """`NAME.weight.size` (O,): the step of each row of a weight on its grid, with the BatchNorm after it folded in."""
    size_O = layer.step_sizes(bits).double()
    return {f"{name}.weight.size": (size_O if bn is None else size_O * _gain(bn).abs()).float().numpy()}


def grid_sizes(bits: tuple[int, ...], **places: OwnStep) -> Folded:
    """`NAME.size` () of the one grid that each of `places` rounds on, float64: its inverse too is that of training."""
    return {f"{name}.size": np.array(place.step_size(*bits)) for name, place in places.items()}


def _gain(bn: nn.BatchNorm2d) -> Tensor:
    assert bn.running_var is not None
    return bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
