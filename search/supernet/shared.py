"""The shared form of a searchable layer: choices are views of one weight, so one convolution serves them all.

Kernel size is a spatial mask on the depthwise weight, width a prefix of the middle channels, precision a grid that the
view is rounded to, sparsity a mask on the 1x1 weights. Shares mix the views of the weights, and for activations the
grids. Width acts behind the second BatchNorm, on the columns of the last convolution: before a BatchNorm in train mode
it would cancel (docs/concepts/supernet.md). Only what has a share is computed.

A grouped candidate has middle channels of its own beside the ungrouped ones, in the order behind its shuffle: its
weights are blocks of zeros in the same convolutions. Skip is a path of its own.

Legend: M middle channels (grouped ones first), K the layer's blocks, V kernels, J spans of middle channels, A grids of
activations, B grids of weights, S levels of zeros.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.blocks import Block as TrainedBlock
from search.blocks import MobileBlock, Skip, convolution
from search.choices import Block, Level, Precision
from search.kernels import Views, depthwise, mix_views, round_through, signed_top
from search.norms import InputRounding, NormAct, apply_norm
from search.space import Layer
from search.sparsity import kept_levels

SMALLEST_COVER = 1e-8  # below it a channel belongs to no view; it only keeps 0 / 0 away


class Mixture(NamedTuple):
    """What a step's shares of precision and sparsity mean for tensors: bits, and shares with float first."""

    weight_bits: tuple[int, ...]
    weight_shares: Tensor
    activation_bits: tuple[int, ...]
    activation_shares: Tensor
    level_shares: Tensor


def mixture(precisions: Sequence[Precision], p_P: Tensor, p_S: Tensor) -> Mixture:
    """Collects the precisions that have a share into one share for each grid."""
    present = [number for number, share in enumerate(p_P.tolist()) if share > 0]

    def collected(side: int) -> tuple[tuple[int, ...], Tensor]:
        bits = tuple(sorted({precisions[n][side] for n in present} - {32}))
        onto = torch.tensor([[float(precisions[n][side] == b) for b in (32, *bits)] for n in present])
        return bits, p_P[present] @ onto

    return Mixture(*collected(0), *collected(1), p_S)


class Span(NamedTuple):
    """Middle channels [start, end) of a path, in `groups` behind a shuffle."""

    start: int
    end: int
    groups: int


class SharedPath(nn.Module):
    """All blocks of a layer but skip, as views of one expand - depthwise - project weight."""

    expand_mask: Tensor
    project_mask: Tensor
    covers_KM: Tensor
    expand_levels: Tensor
    project_levels: Tensor

    def __init__(self, layer: Layer, blocks: Sequence[Block], *, rounds: bool, levels: Sequence[Level]) -> None:
        super().__init__()
        self.stride, self.levels = layer.stride, tuple(levels)
        self.kernels = [block.candidate.kernel for block in blocks]
        self.spans = spans(blocks)
        self.views = sorted(set(self.spans))
        middle = max(span.end for span in self.spans)
        side = max(self.kernels)
        self.expand = convolution(layer.c_in, middle)
        self.expand_bn = NormAct(middle, rounds=rounds)
        self.depthwise = convolution(middle, middle, side, stride=layer.stride, groups=middle)
        self.depthwise_bn = NormAct(middle, rounds=rounds)
        self.project = convolution(middle, layer.c_out)
        self.project_bn = nn.BatchNorm2d(layer.c_out)
        self.is_grouped = any(span.groups > 1 for span in self.spans)
        self._mask_groups()
        covers = torch.tensor([[float(s.start <= m < s.end) for m in range(middle)] for s in self.spans])
        self.register_buffer("covers_KM", covers, persistent=False)
        self.is_sparse = any(level.sparsity for level in levels)
        if self.is_sparse:
            shape = (len(self.views), layer.c_out, middle)
            self.register_buffer("expand_levels", torch.zeros((1, middle, layer.c_in), dtype=torch.uint8))
            self.register_buffer("project_levels", torch.zeros(shape, dtype=torch.uint8))
            self.choose_survivors()

    def _mask_groups(self) -> None:
        """Ones where a weight belongs to its group; grouped weights start as large as their own fan-in wants."""
        expand, project = torch.zeros_like(self.expand.weight), torch.zeros_like(self.project.weight)
        for span in self.views:
            for own in members(span, self.expand.in_channels, self.project.out_channels):
                expand[own.middle_rows, own.inputs] = 1.0
                project[own.outputs, own.middle_columns] = 1.0
        self.register_buffer("expand_mask", expand, persistent=False)
        self.register_buffer("project_mask", project, persistent=False)
        with torch.no_grad():
            for span in self.views:
                if span.groups > 1:
                    self.expand.weight[span.start : span.end] *= span.groups**0.5

    def choose_survivors(self) -> None:
        """Decides by today's magnitudes which weights each level of zeros keeps. Between two calls masks stand."""
        for number, span in enumerate(self.views):
            for own in members(span, self.expand.in_channels, self.project.out_channels):
                rows, columns = own.middle_rows, own.middle_columns
                kept = kept_levels(self.expand.weight[rows, own.inputs, 0, 0], self.levels)
                self.expand_levels[0, rows, own.inputs] = kept
                kept = kept_levels(self.project.weight[own.outputs, columns, 0, 0], self.levels)
                self.project_levels[number, own.outputs, columns] = kept

    def forward(self, x_NCHW: Tensor, p_K: Tensor, mix: Mixture) -> Tensor:
        """The mixture of the path's blocks with shares `p_K`; their sum is the gain of the result."""
        present = [k for k, share in enumerate(p_K.tolist()) if share > 0]
        part = slice(min(self.spans[k].start for k in present), max(self.spans[k].end for k in present))
        mass = p_K[present].sum()
        q_K = p_K[present] / mass
        bits, shares = mix.activation_bits, mix.activation_shares
        mid = self.expand_bn.activate(F.conv2d(x_NCHW, self._expand(part, mix)), bits, shares, part)
        mid = depthwise(mid, self._depthwise(part, present, q_K, mix), self.stride)
        mid = self.depthwise_bn.activate(mid, bits, shares, part)
        return apply_norm(self.project_bn, F.conv2d(mid, self._project(part, present, q_K, mix)), gain=mass)

    def _expand(self, part: slice, mix: Mixture) -> Tensor:
        weight = self.expand.weight[part]
        if self.is_grouped:
            weight = weight * self.expand_mask[part]
        if not (mix.weight_bits or self.is_sparse):
            return weight
        levels = self.expand_levels[:, part] if self.is_sparse else None
        whole = Views(((0, weight.shape[1]),), mix.weight_bits, levels)
        return mix_views(weight.flatten(1), mix.weight_shares[None], kept(mix)[None], whole).view_as(weight)

    def _project(self, part: slice, present: list[int], q_K: Tensor, mix: Mixture) -> Tensor:
        weight = self.project.weight[:, part]
        if self.is_grouped:
            weight = weight * self.project_mask[:, part]
        chosen = [self.spans[k] for k in present]
        views = [number for number, span in enumerate(self.views) if span in chosen]
        onto = torch.tensor([[float(self.views[number] == span) for span in chosen] for number in views])
        shares_JB = (onto @ q_K)[:, None] * mix.weight_shares
        ranges = tuple((self.views[n].start - part.start, self.views[n].end - part.start) for n in views)
        levels = None
        if self.is_sparse:  # indexing copies: early in a search every view has a share
            levels = self.project_levels if len(views) == len(self.views) else self.project_levels[views]
            levels = levels[:, :, part]
        mixed = mix_views(
            weight.flatten(1), shares_JB, kept(mix).expand(len(views), -1), Views(ranges, mix.weight_bits, levels)
        )
        return mixed.view_as(weight)

    def _depthwise(self, part: slice, present: list[int], q_K: Tensor, mix: Mixture) -> Tensor:
        """Each channel's kernel is mixed by the blocks that hold that channel."""
        kernels = sorted({self.kernels[k] for k in present})
        edge = (self.depthwise.kernel_size[0] - kernels[-1]) // 2
        weight = self.depthwise.weight[part]
        weight = weight[..., edge : weight.shape[-2] - edge, edge : weight.shape[-1] - edge]
        if len(kernels) == 1:
            return mixed_grids(weight, mix)
        covers_KM = self.covers_KM[present, part]
        uses_VK = torch.tensor([[float(self.kernels[k] == kernel) for k in present] for kernel in kernels])
        share_VM = (uses_VK * q_K) @ covers_KM / (q_K @ covers_KM).clamp_min(SMALLEST_COVER)
        masked = (weight * centre_mask(kernel, kernels[-1]) for kernel in kernels)
        return sum(
            (share.view(-1, 1, 1, 1) * mixed_grids(w, mix) for share, w in zip(share_VM, masked, strict=True)),
            start=torch.zeros(()),
        )

    def copy_block(self, index: int, block: MobileBlock) -> None:
        """Writes one block's weights and statistics into a block of its own."""
        span, edge = self.spans[index], (self.depthwise.kernel_size[0] - self.kernels[index]) // 2
        own = slice(span.start, span.end)
        inner = slice(edge, edge + self.kernels[index])
        each, per_group = span.end - span.start, (span.end - span.start) // span.groups
        with torch.no_grad():
            block.depthwise.weight.copy_(self.depthwise.weight[own, :, inner, inner])
            for g, part in enumerate(members(span, self.expand.in_channels, self.project.out_channels)):
                block.expand.weight[g * per_group : (g + 1) * per_group] = self.expand.weight[
                    part.middle_rows, part.inputs
                ]
                block.project.weight[part.outputs] = self.project.weight[part.outputs, part.middle_columns]
        before_shuffle = torch.arange(span.start, span.end).view(per_group, span.groups).T.reshape(each)
        copy_norm(self.expand_bn, block.expand_bn, before_shuffle)
        copy_norm(self.depthwise_bn, block.depthwise_bn, torch.arange(span.start, span.end))
        copy_norm(self.project_bn, block.project_bn, torch.arange(self.project.out_channels))
        if block.level.sparsity:
            block.choose_survivors()

    def sort_widths(self) -> Iterator[tuple[Tensor, int, Tensor]]:
        """Orders the ungrouped channels by what they carry, greatest first, so that narrow widths hold the best.

        Yields (tensor, dimension, order) of all that has to follow; nothing is moved yet.
        """
        span = max((s for s in self.spans if s.groups == 1), key=lambda s: s.end, default=None)
        if span is None or sum(s.groups == 1 for s in self.views) < 2:
            return
        own = slice(span.start, span.end)
        carried = (
            self.project.weight.detach()[:, own].flatten(2).norm(dim=(0, 2))
            * self.depthwise_bn.weight.detach()[own].abs()
        )
        order = torch.arange(self.expand.out_channels)
        order[own] = span.start + carried.argsort(descending=True, stable=True)
        for module in (self.expand, self.depthwise, self.expand_bn, self.depthwise_bn):
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.ndim:
                    yield tensor, 0, order
        yield self.project.weight, 1, order


class SharedLayer(nn.Module):
    """A searchable layer in the shared form: one path for its blocks, and skip."""

    def __init__(self, layer: Layer, precisions: Sequence[Precision], levels: Sequence[Level]) -> None:
        super().__init__()
        self.layer, self.precisions = layer, tuple(precisions)
        rounds = any(precision.activation_bits < 32 for precision in precisions)
        if rounds:
            self.input = InputRounding()
        self.path_blocks = [k for k, block in enumerate(layer.blocks) if block.candidate.kernel]
        self.skips = [k for k, block in enumerate(layer.blocks) if not block.candidate.kernel]
        if self.path_blocks:
            blocks = [layer.blocks[k] for k in self.path_blocks]
            self.path = SharedPath(layer, blocks, rounds=rounds, levels=levels)
        if self.skips and not layer.keeps_shape:
            self.project = convolution(layer.c_in, layer.c_out, stride=layer.stride)
            self.project_bn = nn.BatchNorm2d(layer.c_out)

    def forward(self, x_NCHW: Tensor, p_K: Tensor, p_P: Tensor, p_S: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride), mixed by the shares."""
        mix = mixture(self.precisions, p_P, p_S)
        skip = p_K[self.skips].sum()
        has_path, has_skip = bool(self.path_blocks) and bool((p_K[self.path_blocks] > 0).any()), skip.item() > 0
        out = x_NCHW if self.layer.keeps_shape else None  # the residual of every block, and skip itself
        read = x_NCHW
        if mix.activation_bits and (has_path or (has_skip and out is None)):
            read = self.input(x_NCHW, mix.activation_bits, mix.activation_shares)
        if has_path:
            part = self.path(read, p_K[self.path_blocks], mix)
            out = part if out is None else out + part
        if has_skip and not self.layer.keeps_shape:
            weight = mixed_grids(self.project.weight, mix)
            part = apply_norm(self.project_bn, F.conv2d(read, weight, stride=self.layer.stride), gain=skip)
            out = part if out is None else out + part
        assert out is not None
        return out

    def copy_choice(self, index: int, block: TrainedBlock) -> None:
        """Writes choice `index` into a block of its own: its function at one-hot shares in evaluation mode."""
        number = self.layer.blocks.index(self.layer.choices[index].block)
        if isinstance(block, MobileBlock):
            self.path.copy_block(self.path_blocks.index(number), block)
        elif isinstance(block, Skip) and not self.layer.keeps_shape:
            block.project.load_state_dict(self.project.state_dict())
            block.project_bn.load_state_dict(self.project_bn.state_dict())
        if isinstance(block, MobileBlock | Skip) and hasattr(block, "input"):
            block.input.load_state_dict(self.input.state_dict())


class Members(NamedTuple):
    """Where one group of a span stands: its middle channels as rows of expand, as columns of project."""

    middle_rows: slice
    inputs: slice
    outputs: slice
    middle_columns: slice


def members(span: Span, c_in: int, c_out: int) -> Iterator[Members]:
    """The groups of a span. Behind the shuffle the channels of one group stand `groups` apart."""
    each = (span.end - span.start) // span.groups
    for g in range(span.groups):
        yield Members(
            slice(span.start + g, span.end, span.groups),
            slice(g * c_in // span.groups, (g + 1) * c_in // span.groups),
            slice(g * c_out // span.groups, (g + 1) * c_out // span.groups),
            slice(span.start + g * each, span.start + (g + 1) * each),
        )


def spans(blocks: Sequence[Block]) -> list[Span]:
    """Middle channels of each block: grouped ones first, one span for each width; then the ungrouped as prefixes."""
    grouped = sorted({(b.candidate.groups, b.c_mid) for b in blocks if b.candidate.groups > 1})
    starts, start = dict[tuple[int, int], int](), 0
    for groups, c_mid in grouped:
        starts[groups, c_mid] = start
        start += c_mid
    begins = (starts.get((b.candidate.groups, b.c_mid), start) for b in blocks)
    return [Span(begin, begin + b.c_mid, b.candidate.groups) for begin, b in zip(begins, blocks, strict=True)]


def kept(mix: Mixture) -> Tensor:
    """(1 + S,) how much of a weight stays by the number of levels that keep it."""
    return torch.cat([torch.zeros(1), mix.level_shares.cumsum(0)])


def mixed_grids(weight: Tensor, mix: Mixture) -> Tensor:
    """A small weight over the grids of a mixture, scaled per output channel, never sparse."""
    if not mix.weight_bits:
        return weight
    out = mix.weight_shares[0] * weight
    for share, bits in zip(mix.weight_shares[1:], mix.weight_bits, strict=True):
        size = (weight.detach().abs().amax((1, 2, 3), keepdim=True) / signed_top(bits)).clamp_min(1e-30)
        out = out + share * round_through(weight / size) * size
    return out


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
