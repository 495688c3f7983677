"""The blocks of a network, as torch trains them: one choice at one position, the stem, the head.

Tensors: x_NCHW. Every block ends in a linear BatchNorm (MobileNetV2), so residual sums are signed. At less than 32
bits, weights and what each convolution reads are rounded (`search.kernels.grids`), gradients passed straight through.
`folded()` gives the weights with BatchNorm folded in and the steps of the grids, as `latency.graph.shapes_of` names
them.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.operator import Operator
from search.choices import Level
from search.kernels import Grids, Views, depthwise, mix_views
from search.norms import InputRounding, NormAct, apply_norm
from search.sparsity import survivors

Folded = dict[str, np.ndarray]
ONLY_GRID = torch.tensor([0.0, 1.0])


def convolution(c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width at stride 1."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


def shuffle(x_NCHW: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
    n, c, h, w = x_NCHW.shape
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)  # channels last in memory, and so it stays
    return x_NHWC.reshape(n, h, w, groups, c // groups).transpose(3, 4).reshape(n, h, w, c).permute(0, 3, 1, 2)


def rounded_weight(weight: Tensor, bits: int) -> Tensor:
    """The weight on a grid of `bits` per output channel; itself at 32."""
    if bits == 32:
        return weight
    views = Views(((0, weight[0].numel()),), (bits,))
    return mix_views(weight.flatten(1), ONLY_GRID[None], torch.ones(1, 1), views).view_as(weight)


def fold(weight: Tensor, bn: nn.BatchNorm2d, name: str) -> Folded:
    """Weight and bias of a convolution with the BatchNorm behind it folded in (Jacob 2017, eq. 14), computed in
    float64.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    gain = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
    folded = weight.detach().double() * gain.view(-1, 1, 1, 1)
    bias = bn.bias.detach().double() - bn.running_mean.double() * gain
    return {f"{name}.weight": folded.float().contiguous().numpy(), f"{name}.bias": bias.float().numpy()}


def step_sizes(bits: tuple[int, ...], **places: InputRounding | NormAct) -> Folded:
    """`NAME.size` () of the one grid that each of `places` rounds on, float64: its inverse too is that of training."""
    return {
        f"{name}.size": np.array(Grids(bits, ONLY_GRID, isinstance(place, InputRounding), place.rms.item()).sizes[0])
        for name, place in places.items()
    }


class MobileBlock(nn.Module):
    """1x1 convolution, depthwise, 1x1 convolution, each with BatchNorm; adds its input where the shape is kept."""

    expand_mask: Tensor
    project_mask: Tensor

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        o = self.operator = operator
        self.bits = (o.activation_bits,) if o.activation_bits < 32 else ()
        self.level = Level(o.pattern, o.sparsity)
        if self.bits:
            self.input = InputRounding()
        self.expand = convolution(o.c_in, o.c_mid, groups=o.groups)
        self.expand_bn = NormAct(o.c_mid, rounds=bool(self.bits))
        self.depthwise = convolution(o.c_mid, o.c_mid, o.kernel, stride=o.stride, groups=o.c_mid)
        self.depthwise_bn = NormAct(o.c_mid, rounds=bool(self.bits))
        self.project = convolution(o.c_mid, o.c_out, groups=o.groups)
        self.project_bn = nn.BatchNorm2d(o.c_out)
        if self.level.sparsity:
            self.register_buffer("expand_mask", torch.empty_like(self.expand.weight, dtype=torch.bool))
            self.register_buffer("project_mask", torch.empty_like(self.project.weight, dtype=torch.bool))
            self.choose_survivors()

    def choose_survivors(self) -> None:
        """Sets the masks of a sparse block by the magnitudes of its weights today."""
        for conv, mask in ((self.expand, self.expand_mask), (self.project, self.project_mask)):
            mask.copy_(survivors(conv.weight.flatten(1), self.level).view_as(mask))

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Expand, depthwise and project weight as the forward pass uses them: masked, rounded."""
        bits = self.operator.weight_bits
        layers = (self.expand, self.depthwise, self.project)
        expand, spatial, project = (rounded_weight(layer.weight, bits) for layer in layers)
        if self.level.sparsity:
            expand, project = expand * self.expand_mask, project * self.project_mask
        return expand, spatial, project

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        groups, shares = self.operator.groups, ONLY_GRID if self.bits else None
        expand, spatial, project = self.weights()
        mid = self.input(x_NCHW, self.bits, shares) if self.bits else x_NCHW
        mid = self.expand_bn.activate(F.conv2d(mid, expand, groups=groups), self.bits, shares)
        if groups > 1:
            mid = shuffle(mid, groups)
        mid = depthwise(mid, spatial, self.operator.stride)
        mid = self.depthwise_bn.activate(mid, self.bits, shares)
        out = apply_norm(self.project_bn, F.conv2d(mid, project, groups=groups))
        return out + x_NCHW if self.operator.keeps_shape else out

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        expand, spatial, project = self.weights()
        first, middle = fold(expand, self.expand_bn, "expand"), fold(spatial, self.depthwise_bn, "depthwise")
        parts = first | middle | fold(project, self.project_bn, "project")
        if not self.bits:
            return parts
        return parts | step_sizes(self.bits, input=self.input, expand=self.expand_bn, depthwise=self.depthwise_bn)


class Skip(nn.Module):
    """The identity, or where the shape changes a linear 1x1 convolution with the layer's stride."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.bits = (operator.activation_bits,) if operator.activation_bits < 32 else ()
        if not operator.keeps_shape:
            if self.bits:
                self.input = InputRounding()
            self.project = convolution(operator.c_in, operator.c_out, stride=operator.stride)
            self.project_bn = nn.BatchNorm2d(operator.c_out)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        if self.operator.keeps_shape:
            return x_NCHW
        x_NCHW = self.input(x_NCHW, self.bits, ONLY_GRID) if self.bits else x_NCHW
        weight = rounded_weight(self.project.weight, self.operator.weight_bits)
        return apply_norm(self.project_bn, F.conv2d(x_NCHW, weight, stride=self.operator.stride))

    def folded(self) -> Folded:
        """Weights for `latency.graph`; none for the identity."""
        if self.operator.keeps_shape:
            return {}
        parts = fold(rounded_weight(self.project.weight, self.operator.weight_bits), self.project_bn, "project")
        return parts | step_sizes(self.bits, input=self.input) if self.bits else parts


class Stem(nn.Module):
    """The first convolution, BatchNorm, ReLU. Pixels have eight bits already: only its weights are rounded."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.conv = convolution(operator.c_in, operator.c_out, operator.kernel, stride=operator.stride)
        self.bn = NormAct(operator.c_out)

    def weight(self) -> Tensor:
        """As the forward pass uses it."""
        return rounded_weight(self.conv.weight, self.operator.weight_bits)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels in [0, 1] to features."""
        o = self.operator
        return self.bn.activate(F.conv2d(x_NCHW, self.weight(), None, o.stride, o.kernel // 2))

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        return fold(self.weight(), self.bn, "conv")


class Head(nn.Module):
    """1x1 convolution, BatchNorm, ReLU, mean over the picture, linear classifier."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.bits = (operator.activation_bits,) if operator.activation_bits < 32 else ()
        if self.bits:
            self.input = InputRounding()
        self.conv = convolution(operator.c_in, operator.c_mid)
        self.bn = NormAct(operator.c_mid, rounds=bool(self.bits))
        self.linear = nn.Linear(operator.c_mid, operator.c_out)

    def weights(self) -> tuple[Tensor, Tensor]:
        """Convolution and linear weight as the forward pass uses them."""
        bits = self.operator.weight_bits
        return rounded_weight(self.conv.weight, bits), rounded_weight(self.linear.weight, bits)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to logits (N, classes)."""
        conv, linear = self.weights()
        shares = ONLY_GRID if self.bits else None
        x_NCHW = self.input(x_NCHW, self.bits, shares) if self.bits else x_NCHW
        features = self.bn.activate(F.conv2d(x_NCHW, conv), self.bits, shares)
        return F.linear(features.mean((2, 3)), linear, self.linear.bias)

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        conv, linear = self.weights()
        last = {"linear.weight": linear.detach().numpy(), "linear.bias": self.linear.bias.detach().numpy()}
        parts = fold(conv, self.bn, "conv") | last
        return parts | step_sizes(self.bits, input=self.input, conv=self.bn) if self.bits else parts


Block = MobileBlock | Skip | Stem | Head
BLOCKS: OrderedDict[str, Callable[[Operator], Block]] = OrderedDict(mbconv=MobileBlock, skip=Skip, stem=Stem, head=Head)


def build(operator: Operator) -> Block:
    """The trainable block of an operator."""
    return BLOCKS[operator.kind](operator)
