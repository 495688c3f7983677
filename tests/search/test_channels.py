"""Narrow blocks are cut from the supernet's weights: the same network that Torch-Pruning makes of the full one by
following its graph (Fang 2023, DepGraph).
"""

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from search.blocks import Head, MobileBlock, Stem
from search.choices import Choices
from search.network import Network
from search.supernet import Supernet
from tests.search.builders import pictures, tiny_space
from tests.search.test_supernet import FORMS, lively

SPACE = tiny_space(candidates=("k5_e6",)).offering(Choices(width=(1, 0.5, 0.25), width_multiple=4))


class PlainBlock(nn.Module):
    """A block of plain torch modules, as a tool can trace it; parameters are named as in `MobileBlock`."""

    def __init__(self, block: MobileBlock) -> None:
        super().__init__()
        o = self.operator = block.operator
        self.expand = nn.Conv2d(o.c_in, o.c_mid, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(o.c_mid)
        self.depthwise = nn.Conv2d(o.c_mid, o.c_mid, o.kernel, o.stride, o.kernel // 2, groups=o.c_mid, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(o.c_mid)
        self.project = nn.Conv2d(o.c_mid, o.c_out, 1, bias=False)
        self.project_bn = nn.BatchNorm2d(o.c_out)
        self.load_state_dict(block.state_dict())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        mid = self.expand_bn(self.expand(x_NCHW)).relu()
        mid = self.depthwise_bn(self.depthwise(mid)).relu()
        out = self.project_bn(self.project(mid))
        return x_NCHW + out if self.operator.keeps_shape else out


class PlainStem(nn.Module):
    def __init__(self, stem: Stem) -> None:
        super().__init__()
        o = stem.operator
        self.conv = nn.Conv2d(o.c_in, o.c_out, o.kernel, o.stride, o.kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(o.c_out)
        self.load_state_dict(stem.state_dict())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.bn(self.conv(x_NCHW)).relu()


class PlainHead(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        o = head.operator
        self.conv = nn.Conv2d(o.c_in, o.c_mid, 1, bias=False)
        self.bn = nn.BatchNorm2d(o.c_mid)
        self.linear = nn.Linear(o.c_mid, o.c_out)
        self.load_state_dict(head.state_dict())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.linear(self.bn(self.conv(x_NCHW)).relu().mean((2, 3)))


def plain(network: Network) -> nn.Sequential:
    blocks = [PlainBlock(block) for block in network.layers if isinstance(block, MobileBlock)]
    return nn.Sequential(PlainStem(network.stem), *blocks, PlainHead(network.head)).eval()  # type: ignore[arg-type]


def of_widths(supernet: Supernet, widths: list[int]) -> Network:
    """The network that inherits `c_mid` of a space layer's widths, the widest first."""
    ordered = [sorted(layer.choices, key=lambda choice: -choice.c_mid) for layer in SPACE.layers]
    chosen = [choices[width] for choices, width in zip(ordered, widths, strict=True)]
    indices = [layer.choices.index(choice) for layer, choice in zip(SPACE.layers, chosen, strict=True)]
    return supernet.inherit(indices).eval()


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("widths", [[1, 1, 1], [2, 0, 1], [0, 2, 2]])
def test_channels_that_a_narrow_network_lacks_are_gone_as_torch_pruning_removes_them(widths: list[int]) -> None:
    supernet = lively(SPACE, FORMS[0])
    full, narrow = of_widths(supernet, [0, 0, 0]), of_widths(supernet, widths)
    theirs, x_NCHW = plain(full), torch.from_numpy(pictures(8, SPACE))
    with torch.no_grad():
        torch.testing.assert_close(theirs(x_NCHW), full(x_NCHW), rtol=1e-5, atol=1e-5)
    graph = torch_pruning.DependencyGraph().build_dependency(theirs, example_inputs=x_NCHW)
    blocks = [block for block in theirs if isinstance(block, PlainBlock)]
    for block, operator in zip(blocks, narrow.architecture.layer_operators(), strict=True):
        gone = list(range(operator.c_mid, block.operator.c_mid))
        if gone:
            graph.get_pruning_group(block.expand, torch_pruning.prune_conv_out_channels, idxs=gone).prune()
    with torch.no_grad():
        ours, expected = narrow(x_NCHW), theirs.eval()(x_NCHW)
    assert (expected - full(x_NCHW)).abs().max() > 1e-2  # what was removed mattered
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert parameters(narrow) == parameters(theirs) < parameters(full)
