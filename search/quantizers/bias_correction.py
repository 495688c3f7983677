"""Empirical bias correction (Nagel 2019, sec. 4.2 and appendix D): rounding shifts the mean of what a layer gives, and
a bias can take that off again.

Needs the float network, its rounded twin of the same shapes, and a few batches of pixels. Layer by layer in order,
since what is corrected changes what later layers read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.blocks import Head
from search.network import Network
from search.quantizers.recording import in_front_of_norms, normed, norms_of


def mean_outputs(network: Network, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """By name of each BatchNorm the mean (C,) of what it gives, before any ReLU, over batches of pixels; under `logits`
    the mean answer. In evaluation mode, float64.
    """
    names = {id(norm): name for name, norm in norms_of(network).items()}
    sums, counts = dict[str, Tensor](), dict[str, int]()

    def add(name: str, values_RC: Tensor) -> None:
        sums[name] = sums.get(name, 0) + values_RC.double().sum(0)
        counts[name] = counts.get(name, 0) + len(values_RC)

    def take(norm: nn.BatchNorm2d, y_NCHW: Tensor) -> None:
        add(names[id(norm)], normed(norm, y_NCHW).permute(0, 2, 3, 1).flatten(0, 2))

    with torch.no_grad(), in_front_of_norms(network.eval(), take):
        for x_NCHW in batches:
            add("logits", network(x_NCHW))
    return {name: total / counts[name] for name, total in sums.items()}


def correct_biases(rounded: Network, plain: Network, batches: Sequence[Tensor]) -> None:
    """Subtracts from the bias of each BatchNorm of `rounded` by how much its mean output differs from that of `plain`;
    of a classifier's head the last bias too. Both are in evaluation mode afterwards.

    Takes one pass of `rounded` over `batches` for each BatchNorm. Raises ValueError on networks of other shapes.
    """
    norms, others = norms_of(rounded), norms_of(plain)
    if [(n, len(b.bias)) for n, b in norms.items()] != [(n, len(b.bias)) for n, b in others.items()]:
        raise ValueError(
            "the two networks have other layers or widths: give the same architecture in float and rounded"
        )
    wanted = mean_outputs(plain, batches)
    with torch.no_grad():
        for name, norm in norms.items():
            norm.bias.sub_((mean_outputs(rounded, batches)[name] - wanted[name]).float())
        if isinstance(rounded.head, Head):
            shift = mean_outputs(rounded, batches)["logits"] - wanted["logits"]
            rounded.head.linear.bias.sub_(shift.float())
