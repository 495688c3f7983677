"""The blocks of a network, as torch trains them: one candidate at one position, the stem, the head.

Tensors: x_NCHW. Every block ends in a linear BatchNorm (MobileNetV2), so residual sums are signed.
`folded()` gives the weights with BatchNorm folded in, as `latency.graph.shapes_of` names them.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from latency.operator import Operator

Folded = dict[str, np.ndarray]


def conv_bn(
    c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution that keeps height and width at stride 1, and the BatchNorm behind it."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)


def shuffle(x_NCHW: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
    n, c, h, w = x_NCHW.shape
    return x_NCHW.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def fold(conv: nn.Conv2d, bn: nn.BatchNorm2d, name: str) -> Folded:
    """Weight and bias of a convolution with the BatchNorm behind it folded in (Jacob 2017, eq. 14), computed in
    float64.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    gain = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
    weight = conv.weight.detach().double() * gain.view(-1, 1, 1, 1)
    bias = bn.bias.detach().double() - bn.running_mean.double() * gain
    return {f"{name}.weight": weight.float().contiguous().numpy(), f"{name}.bias": bias.float().numpy()}


class MobileBlock(nn.Module):
    """1x1 convolution, depthwise, 1x1 convolution, each with BatchNorm; adds its input where the shape is kept."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        o = self.operator = operator
        self.expand, self.expand_bn = conv_bn(o.c_in, o.c_mid, groups=o.groups)
        self.depthwise, self.depthwise_bn = conv_bn(o.c_mid, o.c_mid, o.kernel, stride=o.stride, groups=o.c_mid)
        self.project, self.project_bn = conv_bn(o.c_mid, o.c_out, groups=o.groups)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        mid = torch.relu(self.expand_bn(self.expand(x_NCHW)))
        if self.operator.groups > 1:
            mid = shuffle(mid, self.operator.groups)
        mid = torch.relu(self.depthwise_bn(self.depthwise(mid)))
        out: Tensor = self.project_bn(self.project(mid))
        return out + x_NCHW if self.operator.keeps_shape else out

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        expand = fold(self.expand, self.expand_bn, "expand")
        depthwise = fold(self.depthwise, self.depthwise_bn, "depthwise")
        return expand | depthwise | fold(self.project, self.project_bn, "project")


class Skip(nn.Module):
    """The identity, or where the shape changes a linear 1x1 convolution with the layer's stride."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        if not operator.keeps_shape:
            self.project, self.project_bn = conv_bn(operator.c_in, operator.c_out, stride=operator.stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        if self.operator.keeps_shape:
            return x_NCHW
        out: Tensor = self.project_bn(self.project(x_NCHW))
        return out

    def folded(self) -> Folded:
        """Weights for `latency.graph`; none for the identity."""
        return {} if self.operator.keeps_shape else fold(self.project, self.project_bn, "project")


class Stem(nn.Module):
    """The first convolution, BatchNorm, ReLU."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.conv, self.bn = conv_bn(operator.c_in, operator.c_out, operator.kernel, stride=operator.stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels in [0, 1] to features."""
        return torch.relu(self.bn(self.conv(x_NCHW)))

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        return fold(self.conv, self.bn, "conv")


class Head(nn.Module):
    """1x1 convolution, BatchNorm, ReLU, mean over the picture, linear classifier."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.conv, self.bn = conv_bn(operator.c_in, operator.c_mid)
        self.linear = nn.Linear(operator.c_mid, operator.c_out)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to logits (N, classes)."""
        logits: Tensor = self.linear(torch.relu(self.bn(self.conv(x_NCHW))).mean((2, 3)))
        return logits

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        linear = {f"linear.{name}": value.detach().numpy() for name, value in self.linear.named_parameters()}
        return fold(self.conv, self.bn, "conv") | linear


Block = MobileBlock | Skip | Stem | Head
BLOCKS: OrderedDict[str, Callable[[Operator], Block]] = OrderedDict(mbconv=MobileBlock, skip=Skip, stem=Stem, head=Head)


def build(operator: Operator) -> Block:
    """The trainable block of an operator."""
    return BLOCKS[operator.kind](operator)
