"""All blocks of a layer but skip, as views of one expand - depthwise - project weight.

Kernel size is a spatial mask on the depthwise weight, width a prefix of the middle channels, groups a mask on the 1x1
weights, precision a grid that the view is rounded to, sparsity a further mask on the 1x1 weights. Shares mix the views
of the weights, and for activations the grids. Width acts after the second BatchNorm, on the columns of the last
convolution: before a BatchNorm in train mode it would cancel (docs/concepts/supernet.md). Only what has a share is
computed.

Legend: M middle channels, K the path's blocks, V kernels, G numbers of groups, J spans of middle channels.
"""

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.blocks import MobileBlock
from search.choices import Block, Level
from search.kernels import Views, depthwise, mix_views
from search.norms import NormAct, Rounding, apply_norm
from search.space import Layer
from search.sparsity import kept_levels
from search.supernet.mixture import INTEGER_BITS, Mixture, integer_shares, kept, mixed_grids
from search.supernet.spans import expand_mask, members, project_mask, spans

SMALLEST_COVER = 1e-8  # below it a channel belongs to no view; it only keeps 0 / 0 away


def convolution(c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width at stride 1."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


class SharedPath(nn.Module):
    """One weight a convolution, of which the blocks are views."""

    covers_KM: Tensor
    expand_levels: Tensor
    project_levels: Tensor

    def __init__(
        self, layer: Layer, blocks: Sequence[Block], *, rounds: bool, levels: Sequence[Level], integer: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.levels = layer.stride, tuple(levels)
        self.kernels = [block.candidate.kernel for block in blocks]
        self.spans = spans(blocks)
        self.views = sorted(set(self.spans))
        # The widest of each number of groups: rows of the first convolution look the same in every width.
        self.widest = {span.groups: span for span in self.views}
        middle = max(span.end for span in self.spans)
        side = max(self.kernels)
        self.expand = convolution(layer.c_in, middle)
        self.expand_bn = NormAct(middle, rounds=rounds)
        self.depthwise = convolution(middle, middle, side, stride=layer.stride, groups=middle)
        self.depthwise_bn = NormAct(middle, rounds=rounds)
        self.project = convolution(middle, layer.c_out)
        self.project_bn = nn.BatchNorm2d(layer.c_out)
        if integer:
            self.project_rounding = Rounding()
        for span in self.views:
            if span.groups > 1:
                mask = project_mask(span, layer.c_out)
                self.register_buffer(f"project_mask_{span.groups}_{span.end}", mask, persistent=False)
        for groups, span in self.widest.items():
            if groups > 1:
                self.register_buffer(f"expand_mask_{groups}", expand_mask(span, layer.c_in), persistent=False)
        covers = torch.tensor([[float(m < span.end) for m in range(middle)] for span in self.spans])
        self.register_buffer("covers_KM", covers, persistent=False)
        self.is_sparse = any(level.sparsity for level in levels)
        if self.is_sparse:
            rows, columns = (len(self.widest), middle, layer.c_in), (len(self.views), layer.c_out, middle)
            self.register_buffer("expand_levels", torch.zeros(rows, dtype=torch.uint8))
            self.register_buffer("project_levels", torch.zeros(columns, dtype=torch.uint8))
            self.choose_survivors()

    def choose_survivors(self) -> None:
        """Decides by today's magnitudes which weights each level of zeros keeps. Between two calls masks stand."""
        self.expand_levels.zero_()
        self.project_levels.zero_()
        expand, project = self.expand.weight[..., 0, 0], self.project.weight[..., 0, 0]
        for number, span in enumerate(self.widest.values()):
            for own in members(span, self.expand.in_channels, self.project.out_channels):
                kept_rows = kept_levels(expand[own.middle_rows, own.inputs], self.levels)
                self.expand_levels[number, own.middle_rows, own.inputs] = kept_rows
        for number, span in enumerate(self.views):
            for own in members(span, self.expand.in_channels, self.project.out_channels):
                kept_columns = kept_levels(project[own.outputs, own.middle_columns], self.levels)
                self.project_levels[number, own.outputs, own.middle_columns] = kept_columns

    def forward(self, x_NCHW: Tensor, p_K: Tensor, mix: Mixture) -> Tensor:
        """The mixture of the path's blocks with shares `p_K`; their sum is the gain of the result."""
        present = [k for k, share in enumerate(p_K.tolist()) if share > 0]
        part = slice(0, max(self.spans[k].end for k in present))
        mass = p_K[present].sum()
        q_K = p_K[present] / mass
        bits, shares = mix.activation_bits, mix.activation_shares
        mid = self.expand_bn.activate(F.conv2d(x_NCHW, self._expand(part, present, q_K, mix)), bits, shares, part)
        mid = depthwise(mid, self._depthwise(part, present, q_K, mix), self.stride)
        mid = self.depthwise_bn.activate(mid, bits, shares, part)
        out = F.conv2d(mid, self._project(part, present, q_K, mix))
        if mix.integer_share is None:
            return apply_norm(self.project_bn, out, gain=mass)
        rounded: Tensor = self.project_rounding(
            apply_norm(self.project_bn, out), INTEGER_BITS, integer_shares(mass, mix)
        )
        return rounded

    def _channel_shares(self, part: slice, present: list[int], q_K: Tensor, kinds: Sequence[int]) -> Tensor:
        """(kinds, M): how each channel is shared between kinds of blocks that hold it. `kinds` has one value for each
        block of `present`; the rows are in the order of the values.
        """
        covers_KM = self.covers_KM[present, part]
        uses_VK = torch.tensor([[float(kind == value) for kind in kinds] for value in sorted(set(kinds))])
        return (uses_VK * q_K) @ covers_KM / (q_K @ covers_KM).clamp_min(SMALLEST_COVER)

    def _expand(self, part: slice, present: list[int], q_K: Tensor, mix: Mixture) -> Tensor:
        """Each channel's row is mixed by the numbers of groups in which blocks hold that channel."""
        counts = [self.spans[k].groups for k in present]
        if len(set(counts)) == 1:
            return self._expand_in_groups(counts[0], part.stop, mix)[..., None, None]
        parts = []
        for groups, share_M in zip(sorted(set(counts)), self._channel_shares(part, present, q_K, counts), strict=True):
            rows = min(part.stop, self.widest[groups].end)
            weight = share_M[:rows, None] * self._expand_in_groups(groups, rows, mix)
            parts.append(F.pad(weight, (0, 0, 0, part.stop - rows)))
        return reduce(torch.add, parts)[..., None, None]

    def _expand_in_groups(self, groups: int, rows: int, mix: Mixture) -> Tensor:
        """(rows, c_in), the first convolution of blocks in so many groups."""
        weight = self.expand.weight.flatten(1)
        if rows < len(weight):  # a slice of all is a copy in the backward pass
            weight = weight[:rows]
        if groups > 1:
            weight = weight * self.get_buffer(f"expand_mask_{groups}")[:rows]
        if not (mix.weight_bits or self.is_sparse):
            return weight
        number = list(self.widest).index(groups)
        levels = self.expand_levels[number : number + 1, :rows] if self.is_sparse else None
        whole = Views(((0, weight.shape[1]),), mix.weight_bits, levels)
        return mix_views(weight, mix.weight_shares[None], kept(mix)[None], whole)

    def _project(self, part: slice, present: list[int], q_K: Tensor, mix: Mixture) -> Tensor:
        """Each column is weighted by the blocks that hold its channel, in their groups."""
        chosen = [self.spans[k] for k in present]
        if len(chosen) == 1 and chosen[0].groups == 1 and not self.is_sparse and takes_all(q_K, mix):
            weight = self.project.weight.flatten(1)
            return (weight if part.stop == weight.shape[1] else weight[:, : part.stop])[..., None, None]
        onto = torch.tensor([[float(view == span) for span in chosen] for view in self.views])
        share_J = onto @ q_K
        numbers = [number for number, view in enumerate(self.views) if view in chosen]
        parts = []
        plain = [number for number in numbers if self.views[number].groups == 1]
        for own in ([plain] if plain else []) + [[n] for n in numbers if n not in plain]:
            end = max(self.views[number].end for number in own)
            weight = self.project.weight[:, :end, 0, 0]
            if self.views[own[0]].groups > 1:
                weight = weight * self.get_buffer(f"project_mask_{self.views[own[0]].groups}_{end}")
            ranges = tuple((0, self.views[number].end) for number in own)
            levels = self.project_levels[own, :, :end] if self.is_sparse else None
            shares_JB = share_J[own, None] * mix.weight_shares
            views = Views(ranges, mix.weight_bits, levels)
            mixed = mix_views(weight, shares_JB, kept(mix).expand(len(own), -1), views)
            parts.append(mixed if end == part.stop else F.pad(mixed, (0, part.stop - end)))
        return reduce(torch.add, parts)[..., None, None]

    def _depthwise(self, part: slice, present: list[int], q_K: Tensor, mix: Mixture) -> Tensor:
        """Each channel's kernel is mixed by the blocks that hold that channel."""
        sides = [self.kernels[k] for k in present]
        kernels = sorted(set(sides))
        edge = (self.depthwise.kernel_size[0] - kernels[-1]) // 2
        weight = self.depthwise.weight[part]
        weight = weight[..., edge : weight.shape[-2] - edge, edge : weight.shape[-1] - edge]
        if len(kernels) == 1:
            return mixed_grids(weight, mix)
        share_VM = self._channel_shares(part, present, q_K, sides)
        masked = (weight * centre_mask(kernel, kernels[-1]) for kernel in kernels)
        return sum(
            (share.view(-1, 1, 1, 1) * mixed_grids(w, mix) for share, w in zip(share_VM, masked, strict=True)),
            start=torch.zeros(()),
        )

    def copy_block(self, index: int, block: MobileBlock) -> None:
        """Writes one block's weights and statistics into a block of its own."""
        span, edge = self.spans[index], (self.depthwise.kernel_size[0] - self.kernels[index]) // 2
        inner, per_group = slice(edge, edge + self.kernels[index]), span.end // span.groups
        with torch.no_grad():
            block.depthwise.weight.copy_(self.depthwise.weight[: span.end, :, inner, inner])
            for g, part in enumerate(members(span, self.expand.in_channels, self.project.out_channels)):
                block.expand.weight[g * per_group : (g + 1) * per_group] = self.expand.weight[
                    part.middle_rows, part.inputs
                ]
                block.project.weight[part.outputs] = self.project.weight[part.outputs, part.middle_columns]
        before_shuffle = torch.arange(span.end).view(per_group, span.groups).T.reshape(-1)
        copy_norm(self.expand_bn, block.expand_bn, before_shuffle)
        copy_norm(self.depthwise_bn, block.depthwise_bn, torch.arange(span.end))
        copy_norm(self.project_bn, block.project_bn, torch.arange(self.project.out_channels))
        if block.operator.is_integer:
            block.project_rounding.load_state_dict(self.project_rounding.state_dict())
        if block.level.sparsity:
            block.choose_survivors()

    def sort_widths(self) -> Iterator[tuple[Tensor, int, Tensor]]:
        """Orders channels by what they carry, greatest first, so that narrow widths hold the best. Those that grouped
        blocks hold stay: elsewhere they would be of another group.

        Yields (tensor, dimension, order) of all that has to follow; nothing is moved yet.
        """
        fixed = max((span.end for span in self.views if span.groups > 1), default=0)
        own = slice(fixed, self.expand.out_channels)
        if sum(span.end > fixed for span in self.views) < 2:
            return
        carried = (
            self.project.weight.detach()[:, own].flatten(2).norm(dim=(0, 2))
            * self.depthwise_bn.weight.detach()[own].abs()
        )
        order = torch.arange(self.expand.out_channels)
        order[own] = fixed + carried.argsort(descending=True, stable=True)
        for module in (self.expand, self.depthwise, self.expand_bn, self.depthwise_bn):
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.ndim:
                    yield tensor, 0, order
        yield self.project.weight, 1, order


def takes_all(q_K: Tensor, mix: Mixture) -> bool:
    """Whether a weight stands alone and in float, and no gradient wants to know what it would be worth otherwise."""
    shares = q_K, mix.weight_shares
    return not mix.weight_bits and all(len(s) == 1 and not s.requires_grad and s.item() == 1.0 for s in shares)


def centre_mask(kernel: int, side: int) -> Tensor:
    """(side, side) with ones in the middle `kernel` x `kernel`."""
    edge = (side - kernel) // 2
    mask = torch.zeros(side, side)
    mask[edge : edge + kernel, edge : edge + kernel] = 1.0
    return mask


def copy_norm(source: nn.BatchNorm2d, target: nn.BatchNorm2d, channels: Tensor) -> None:
    """Copies `channels` of a BatchNorm's parameters and running statistics."""
    with torch.no_grad():
        for name, value in target.state_dict().items():
            value.copy_(source.state_dict()[name][channels] if value.ndim else source.state_dict()[name])
