"""The blocks of a network, as torch trains them: one choice at one position, the stem, the head.

Tensors: x_NCHW. Every block ends in a linear BatchNorm (MobileNetV2), so residual sums are signed. At less than 32
bits, weights and what each convolution reads are rounded (`search.kernels.grids`), gradients passed straight through.
Integer blocks (`Operator.is_integer`) round all that a device would hold: what they add their output to, and that
output before it is added or given away. `rounds_input` is false where it comes on a grid already (`latency.weights`).
`folded()` gives the weights as `latency.weights.shapes_of` names them.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.operator import Operator
from search.choices import Level
from search.folding import Folded, fold, grid_sizes, weight_sizes
from search.kernels import depthwise
from search.norms import ONLY_GRID, NormAct, Rounding, apply_norm
from search.quantizers.rows import RoundedConv, RoundedLinear
from search.sparsity import survivors


def shuffle(x_NCHW: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet, sec. 3.1): channel g * n + i goes to i * groups + g."""
    n, c, h, w = x_NCHW.shape
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)  # channels last in memory, and so it stays
    return x_NHWC.reshape(n, h, w, groups, c // groups).transpose(3, 4).reshape(n, h, w, c).permute(0, 3, 1, 2)


Biased = dict[str, nn.BatchNorm2d | nn.Linear]


class MobileBlock(nn.Module):
    """1x1 convolution, depthwise, 1x1 convolution, each with BatchNorm; adds its input where the shape is kept."""

    expand_mask: Tensor
    project_mask: Tensor
    rounds_input = True

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        o = self.operator = operator
        self.bits = (o.activation_bits,) if o.activation_bits < 32 else ()
        self.level = Level(o.pattern, o.sparsity)
        if self.bits:
            self.input = Rounding()
        self.expand = RoundedConv(o.c_in, o.c_mid, groups=o.groups)
        self.expand_bn = NormAct(o.c_mid, rounds=bool(self.bits))
        self.depthwise = RoundedConv(o.c_mid, o.c_mid, o.kernel, stride=o.stride, groups=o.c_mid)
        self.depthwise_bn = NormAct(o.c_mid, rounds=bool(self.bits))
        self.project = RoundedConv(o.c_mid, o.c_out, groups=o.groups)
        self.project_bn = nn.BatchNorm2d(o.c_out)
        if o.is_integer:
            self.project_rounding = Rounding()
        if self.level.sparsity:
            self.register_buffer("expand_mask", torch.empty_like(self.expand.weight, dtype=torch.bool))
            self.register_buffer("project_mask", torch.empty_like(self.project.weight, dtype=torch.bool))
            self.choose_survivors()

    def choose_survivors(self) -> None:
        """Sets the masks of a sparse block by the magnitudes of its weights today."""
        for weight_OM, mask_OM in self.masked_weights():
            mask_OM.copy_(survivors(weight_OM, self.level))

    def masked_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Of a sparse block both 1x1 weights (O, M) and their masks, as views."""
        pairs = ((self.expand.weight.detach(), self.expand_mask), (self.project.weight.detach(), self.project_mask))
        return [(weight.view(len(weight), -1), mask.view(len(mask), -1)) for weight, mask in pairs]

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Expand, depthwise and project weight as the forward pass uses them: masked, rounded."""
        bits = self.operator.weight_bits
        layers = (self.expand, self.depthwise, self.project)
        expand, spatial, project = (layer.rounded(bits) for layer in layers)
        if self.level.sparsity:
            expand, project = expand * self.expand_mask, project * self.project_mask
        return expand, spatial, project

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        o, shares = self.operator, ONLY_GRID if self.bits else None
        expand, spatial, project = self.weights()
        read = self.input(x_NCHW, self.bits, ONLY_GRID) if self.bits and self.rounds_input else x_NCHW
        mid = self.expand_bn.activate(F.conv2d(read, expand, groups=o.groups), self.bits, shares)
        if o.groups > 1:
            mid = shuffle(mid, o.groups)
        mid = self.depthwise_bn.activate(depthwise(mid, spatial, o.stride), self.bits, shares)
        out = apply_norm(self.project_bn, F.conv2d(mid, project, groups=o.groups))
        if o.is_integer:
            out = self.project_rounding(out, self.bits, ONLY_GRID)
        if not o.keeps_shape:
            return out
        return out + (read if o.is_integer else x_NCHW)

    def biased(self) -> Biased:
        """What adds the bias of each layer."""
        return {"expand": self.expand_bn, "depthwise": self.depthwise_bn, "project": self.project_bn}

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        expand, spatial, project = self.weights()
        first, middle = fold(expand, self.expand_bn, "expand"), fold(spatial, self.depthwise_bn, "depthwise")
        parts = first | middle | fold(project, self.project_bn, "project")
        if self.bits:
            parts |= grid_sizes(self.bits, input=self.input, expand=self.expand_bn, depthwise=self.depthwise_bn)
        if self.operator.is_integer:
            bits = self.operator.weight_bits
            parts |= grid_sizes(self.bits, project=self.project_rounding)
            parts |= weight_sizes(self.expand, bits, "expand", self.expand_bn)
            parts |= weight_sizes(self.depthwise, bits, "depthwise", self.depthwise_bn)
            parts |= weight_sizes(self.project, bits, "project", self.project_bn)
        return parts


class Skip(nn.Module):
    """The identity, or where the shape changes a linear 1x1 convolution with the layer's stride."""

    rounds_input = True

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.bits = (operator.activation_bits,) if operator.activation_bits < 32 else ()
        if not operator.keeps_shape:
            if self.bits:
                self.input = Rounding()
            self.project = RoundedConv(operator.c_in, operator.c_out, stride=operator.stride)
            self.project_bn = nn.BatchNorm2d(operator.c_out)
            if operator.is_integer:
                self.project_rounding = Rounding()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        o = self.operator
        if o.keeps_shape:
            return x_NCHW
        x_NCHW = self.input(x_NCHW, self.bits, ONLY_GRID) if self.bits and self.rounds_input else x_NCHW
        weight = self.project.rounded(o.weight_bits)
        out = apply_norm(self.project_bn, F.conv2d(x_NCHW, weight, stride=o.stride))
        return self.project_rounding(out, self.bits, ONLY_GRID) if o.is_integer else out

    def biased(self) -> Biased:
        """What adds the bias of each layer."""
        return {} if self.operator.keeps_shape else {"project": self.project_bn}

    def folded(self) -> Folded:
        """Weights for `latency.graph`; none for the identity."""
        o = self.operator
        if o.keeps_shape:
            return {}
        parts = fold(self.project.rounded(o.weight_bits), self.project_bn, "project")
        if self.bits:
            parts |= grid_sizes(self.bits, input=self.input)
        if o.is_integer:
            parts |= grid_sizes(self.bits, project=self.project_rounding)
            parts |= weight_sizes(self.project, o.weight_bits, "project", self.project_bn)
        return parts


class Stem(nn.Module):
    """The first convolution, BatchNorm, ReLU. Pixels have eight bits already, so what it reads is not rounded; an
    integer stem rounds what it gives.
    """

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        o = self.operator = operator
        self.bits = (o.activation_bits,) if o.is_integer else ()
        self.conv = RoundedConv(o.c_in, o.c_out, o.kernel, stride=o.stride)
        self.bn = NormAct(o.c_out, rounds=o.is_integer)

    def weight(self) -> Tensor:
        """As the forward pass uses it."""
        return self.conv.rounded(self.operator.weight_bits)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels in [0, 1] to features."""
        o, shares = self.operator, ONLY_GRID if self.bits else None
        return self.bn.activate(F.conv2d(x_NCHW, self.weight(), None, o.stride, o.kernel // 2), self.bits, shares)

    def biased(self) -> Biased:
        """What adds the bias of each layer."""
        return {"conv": self.bn}

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        parts = fold(self.weight(), self.bn, "conv")
        if self.operator.is_integer:
            parts |= grid_sizes(self.bits, conv=self.bn)
            parts |= weight_sizes(self.conv, self.operator.weight_bits, "conv", self.bn)
        return parts


class Head(nn.Module):
    """1x1 convolution, BatchNorm, ReLU, mean over the picture, linear classifier. An integer one rounds the mean."""

    rounds_input = True

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.bits = (operator.activation_bits,) if operator.activation_bits < 32 else ()
        if self.bits:
            self.input = Rounding()
        self.conv = RoundedConv(operator.c_in, operator.c_mid)
        self.bn = NormAct(operator.c_mid, rounds=bool(self.bits))
        if operator.is_integer:
            self.pool = Rounding(signed=False)
        self.linear = RoundedLinear(operator.c_mid, operator.c_out)

    def weights(self) -> tuple[Tensor, Tensor]:
        """Convolution and linear weight as the forward pass uses them."""
        bits = self.operator.weight_bits
        return self.conv.rounded(bits), self.linear.rounded(bits)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, c_in, h, w) to logits (N, classes)."""
        conv, linear = self.weights()
        shares = ONLY_GRID if self.bits else None
        x_NCHW = self.input(x_NCHW, self.bits, ONLY_GRID) if self.bits and self.rounds_input else x_NCHW
        features = self.bn.activate(F.conv2d(x_NCHW, conv), self.bits, shares)
        if self.operator.is_integer and not (self.training or torch.is_grad_enabled()):
            return F.linear(self._mean_in_steps(features), linear, self.linear.bias)
        pooled = features.mean((2, 3))
        if self.operator.is_integer:
            pooled = self.pool(pooled, self.bits, ONLY_GRID)
        return F.linear(pooled, linear, self.linear.bias)

    def _mean_in_steps(self, features: Tensor) -> Tensor:
        """As runtimes take it, of integers: a mean often lies in the middle between two steps, and floats would go
        either way.
        """
        bits = self.operator.activation_bits
        given, own = np.float32(self.bn.step_size(bits)), np.float32(self.pool.step_size(bits))
        sums = (features / float(given)).round().sum((2, 3))
        pixels = np.float32(features.shape[2] * features.shape[3])
        steps = (sums * float(given / own / pixels)).round()
        return steps.clamp(0, 2**bits - 1) * float(own)

    def biased(self) -> Biased:
        """What adds the bias of each layer."""
        return {"conv": self.bn, "linear": self.linear}

    def folded(self) -> Folded:
        """Weights for `latency.graph`."""
        conv, linear = self.weights()
        last = {"linear.weight": linear.detach().numpy(), "linear.bias": self.linear.bias.detach().numpy()}
        parts = fold(conv, self.bn, "conv") | last
        if self.bits:
            parts |= grid_sizes(self.bits, input=self.input, conv=self.bn)
        if self.operator.is_integer:
            bits = self.operator.weight_bits
            parts |= grid_sizes(self.bits, pool=self.pool)
            parts |= weight_sizes(self.conv, bits, "conv", self.bn)
            parts |= weight_sizes(self.linear, bits, "linear")
        return parts


Block = MobileBlock | Skip | Stem | Head
BLOCKS: OrderedDict[str, Callable[[Operator], Block]] = OrderedDict(mbconv=MobileBlock, skip=Skip, stem=Stem, head=Head)


def build(operator: Operator) -> Block:
    """The trainable block of an operator."""
    return BLOCKS[operator.kind](operator)
