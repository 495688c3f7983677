"""A network of ours through torch's own operators: twice differentiable, each layer called as a module.

The compiled kernels (search.kernels) know one derivative, and torch takes the second one for 0 without a word. Finite
differences of their gradients would cross kinks of ReLU and lose half the digits of float32, so second derivatives are
taken through operators that have them.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn

from search.blocks import Head, MobileBlock, Skip, Stem, shuffle
from search.network import Network

Model = TypeVar("Model", bound=nn.Module)


class Plain(nn.Module):
    """The network's own blocks and parameters under their own names. Float and dense only: raises ValueError on
    blocks that are rounded or masked, and on a head that is no classifier's.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.stem, self.layers, self.head = network.stem, network.layers, network.head
        for name, block in network.named_children():
            for number, part in enumerate(block if isinstance(block, nn.ModuleList) else [block]):
                _require_plain(part, f"{name}.{number}" if isinstance(block, nn.ModuleList) else name)
        self.train(network.training)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels (N, channels, height, width) to logits (N, classes)."""
        for block in (self.stem, *self.layers):
            x_NCHW = _forward(block, x_NCHW)
        head = self.head
        assert isinstance(head, Head)
        logits: Tensor = head.linear(torch.relu(head.bn(head.conv(x_NCHW))).mean((2, 3)))
        return logits


def plain(model: nn.Module) -> nn.Module:
    """`Plain` of a network of ours; any other module is taken as it is."""
    return Plain(model) if isinstance(model, Network) else model


def _require_plain(block: nn.Module, name: str) -> None:
    if not isinstance(block, Stem | MobileBlock | Skip | Head):
        raise ValueError(
            f"{name}: a {type(block).__name__} is none of our blocks; pass a module of plain torch instead"
        )
    o = block.operator
    if o.weight_bits < 32 or o.activation_bits < 32 or o.sparsity:
        raise ValueError(f"{name}: is rounded or masked; take the network of the same architecture in fp32, dense")


def _forward(block: nn.Module, x_NCHW: Tensor) -> Tensor:
    if isinstance(block, Stem):
        return torch.relu(block.bn(block.conv(x_NCHW)))
    if isinstance(block, Skip):
        return x_NCHW if block.operator.keeps_shape else torch.as_tensor(block.project_bn(block.project(x_NCHW)))
    assert isinstance(block, MobileBlock)
    mid = torch.relu(block.expand_bn(block.expand(x_NCHW)))
    if block.operator.groups > 1:
        mid = shuffle(mid, block.operator.groups)
    mid = torch.relu(block.depthwise_bn(block.depthwise(mid)))
    out: Tensor = block.project_bn(block.project(mid))
    return out + x_NCHW if block.operator.keeps_shape else out
