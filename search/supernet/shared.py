"""The shared form of a searchable layer: candidates are views of one weight, so one convolution serves them all.

Kernel size is a spatial mask on the depthwise weight, expansion a prefix of the middle channels. Masks act behind the
second BatchNorm, on the columns of the last convolution: before a BatchNorm in train mode they would cancel
(docs/concepts/supernet.md). Grouped candidates shuffle channels and share no prefix: they are paths of their own, as
is skip.

Shapes: p_K over a layer's candidates, q_J over a path's views, M the path's widest middle, V a kernel's side.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.blocks import MobileBlock, Skip, conv_bn, shuffle
from search.space import Layer

SMALLEST_MASS = 1e-8  # below this a channel belongs to no view; it only keeps 0 / 0 away


class SharedPath(nn.Module):
    """Views (kernel, c_mid) of one expand - depthwise - project weight, as wide and large as the greatest."""

    covers_JM: Tensor
    uses_JV: Tensor
    masks_VHW: Tensor

    def __init__(self, layer: Layer, views: Sequence[tuple[int, int]], groups: int) -> None:
        super().__init__()
        self.views, self.groups, self.stride = tuple(views), groups, layer.stride
        widest = max(c_mid for _, c_mid in views)
        kernels = sorted({kernel for kernel, _ in views})
        self.expand, self.expand_bn = conv_bn(layer.c_in, widest, groups=groups)
        self.depthwise, self.depthwise_bn = conv_bn(widest, widest, kernels[-1], stride=layer.stride, groups=widest)
        self.project, self.project_bn = conv_bn(widest, layer.c_out, groups=groups)
        covers = torch.tensor([[float(channel < c_mid) for channel in range(widest)] for _, c_mid in views])
        uses = torch.tensor([[float(kernel == k) for k in kernels] for kernel, _ in views])
        self.register_buffer("covers_JM", covers, persistent=False)
        self.register_buffer("uses_JV", uses, persistent=False)
        self.register_buffer("masks_VHW", torch.stack([centre_mask(k, kernels[-1]) for k in kernels]), persistent=False)

    def forward(self, x_NCHW: Tensor, q_J: Tensor) -> Tensor:
        """The mixture of views with weights `q_J` (sum 1); exact for a one-hot `q_J`."""
        cover_M = q_J @ self.covers_JM
        mid = torch.relu(self.expand_bn(self.expand(x_NCHW)))
        if self.groups > 1:
            mid = shuffle(mid, self.groups)
        depthwise = self._depthwise_weight(q_J, cover_M)
        mid = F.conv2d(mid, depthwise, None, self.stride, depthwise.shape[-1] // 2, groups=depthwise.shape[0])
        mid = torch.relu(self.depthwise_bn(mid))
        columns_M = cover_M if self.groups == 1 else cover_M.view(self.groups, -1)[0]
        out: Tensor = self.project_bn(
            F.conv2d(mid, self.project.weight * columns_M.view(1, -1, 1, 1), groups=self.groups)
        )
        return out

    def _depthwise_weight(self, q_J: Tensor, cover_M: Tensor) -> Tensor:
        """Each channel's kernel is mixed by the views that hold that channel."""
        if len(self.masks_VHW) == 1:
            return self.depthwise.weight
        share_VM = (self.uses_JV.T * q_J) @ self.covers_JM / cover_M.clamp_min(SMALLEST_MASS)
        return self.depthwise.weight * torch.einsum("vm,vhw->mhw", share_VM, self.masks_VHW).unsqueeze(1)

    def copy_view(self, index: int, block: MobileBlock) -> None:
        """Writes the weights of one view into a block of its own."""
        kernel, c_mid = self.views[index]
        edge = (self.depthwise.kernel_size[0] - kernel) // 2
        inner = slice(edge, edge + kernel)
        with torch.no_grad():
            block.expand.weight.copy_(self.expand.weight[:c_mid])
            block.depthwise.weight.copy_(self.depthwise.weight[:c_mid, :, inner, inner])
            block.project.weight.copy_(self.project.weight[:, : c_mid // self.groups])
        copy_norm(self.expand_bn, block.expand_bn, c_mid)
        copy_norm(self.depthwise_bn, block.depthwise_bn, c_mid)
        copy_norm(self.project_bn, block.project_bn, self.project_bn.num_features)


class SharedLayer(nn.Module):
    """A searchable layer in the shared form: a path for the ungrouped candidates, one for each grouped width, and
    skip.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        members: dict[tuple[int, int], list[int]] = {}
        for index, (candidate, _) in enumerate(layer.blocks):
            if candidate.kernel:
                own = (candidate.groups, candidate.expansion if candidate.groups > 1 else 0)
                members.setdefault(own, []).append(index)
        self.members = tuple(members.values())
        self.paths = nn.ModuleList(
            SharedPath(layer, [self._view(index) for index in indices], groups)
            for (groups, _), indices in members.items()
        )  # fmt: skip
        names = [block.candidate.name for block in layer.blocks]
        self.skip_index = names.index("skip") if "skip" in names else None
        if self.skip_index is not None:
            self.skip = Skip(layer.operator(layer.choices[self.skip_index]))

    def _view(self, index: int) -> tuple[int, int]:
        operator = self.layer.operator(self.layer.choices[index])
        return operator.kernel, operator.c_mid

    def forward(self, x_NCHW: Tensor, p_K: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride), mixed by `p_K` over the candidates."""
        keeps_shape = self.layer.stride == 1 and self.layer.c_in == self.layer.c_out
        out = x_NCHW if keeps_shape else None  # the residual of every block, and skip itself
        for path, indices in zip(self.paths, self.members, strict=True):
            p_J = p_K[indices]
            mass = p_J.sum()
            part = mass * path(x_NCHW, p_J / mass.clamp_min(SMALLEST_MASS))
            out = part if out is None else out + part
        if self.skip_index is not None and not keeps_shape:
            part = p_K[self.skip_index] * self.skip(x_NCHW)
            out = part if out is None else out + part
        assert out is not None
        return out

    def copy_candidate(self, index: int, block: MobileBlock | Skip) -> None:
        """Writes candidate `index` into a block of its own: its function at a one-hot `p_K` in evaluation mode."""
        if isinstance(block, Skip):
            block.load_state_dict(self.skip.state_dict())
            return
        for path, indices in zip(self.paths, self.members, strict=True):
            if index in indices:
                assert isinstance(path, SharedPath)
                path.copy_view(indices.index(index), block)


def centre_mask(kernel: int, side: int) -> Tensor:
    """(side, side) with ones in the middle `kernel` x `kernel`."""
    edge = (side - kernel) // 2
    mask = torch.zeros(side, side)
    mask[edge : edge + kernel, edge : edge + kernel] = 1.0
    return mask


def copy_norm(source: nn.BatchNorm2d, target: nn.BatchNorm2d, channels: int) -> None:
    """Copies the first `channels` of a BatchNorm's parameters and running statistics."""
    with torch.no_grad():
        for name, value in target.state_dict().items():
            value.copy_(source.state_dict()[name][:channels] if value.ndim else source.state_dict()[name])
