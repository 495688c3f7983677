"""Pictures to calibrate on where no data may leave: noise, changed until every BatchNorm sees the statistics that
training left in it (ZeroQ, Cai 2020, eq. 3).
"""

import torch
from torch import Tensor, nn

from search.network import Network
from search.quantizers.recording import in_front_of_norms
from search.randomness import generator

LR = 0.1  # of Adam, on logits of pixels


def statistics_loss(network: Network, x_NCHW: Tensor) -> Tensor:
    """How far means and deviations in front of every BatchNorm are from the running ones: squared, in units of the
    running deviation, mean over channels, sum over layers. (Eq. 3 has no units: layers of large values would rule.)
    """
    parts = list[Tensor]()

    def take(norm: nn.BatchNorm2d, y_NCHW: Tensor) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        variance, mean = torch.var_mean(y_NCHW, (0, 2, 3), correction=0)
        unit = torch.sqrt(norm.running_var + norm.eps)
        shift, spread = (mean - norm.running_mean) / unit, torch.sqrt(variance + norm.eps) / unit - 1
        parts.append(shift.square().mean() + spread.square().mean())

    with in_front_of_norms(network.eval(), take):
        network(x_NCHW)
    return torch.stack(parts).sum()


def pictures_from_statistics(network: Network, count: int, *, seed: int, steps: int = 300) -> Tensor:
    """Pixels (count, C, H, W) in [0, 1] of the network's input, which ends in evaluation mode. The same seed gives the
    same pictures. Pixels are sigmoids of what is learnt.

    Take as many as a calibration needs, 64 and more: each has to carry its share of the statistics.
    """
    shape = network.architecture.space.input
    size = (count, shape.channels, shape.height, shape.width)
    logits = torch.randn(size, generator=generator(seed, "zero shot")).requires_grad_()
    optimizer = torch.optim.Adam([logits], LR)
    for _ in range(steps):
        (logits.grad,) = torch.autograd.grad(statistics_loss(network, torch.sigmoid(logits)), [logits])
        optimizer.step()
    return torch.sigmoid(logits).detach()
