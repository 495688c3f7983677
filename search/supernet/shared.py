"""The shared form of a searchable layer: choices are views of one weight, so one convolution serves them all.

Skip is a path of its own beside that of the blocks (search.supernet.path).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.blocks import Block as TrainedBlock
from search.blocks import MobileBlock, Skip
from search.choices import Level, Precision
from search.kernels import rounded
from search.norms import Rounding, apply_norm
from search.space import Layer
from search.supernet.mixture import INTEGER_BITS, Mixture, integer_shares, mixed_grids, mixture
from search.supernet.path import SharedPath, convolution

# Blocks are mixed by their shares of their path's: where that is close to the least float32, the gradient of the
# quotient is no number. What has so little adds nothing to a sum.
LEAST_SHARE = 1e-30


class SharedLayer(nn.Module):
    """A searchable layer in the shared form: one path for its blocks, and skip."""

    def __init__(self, layer: Layer, precisions: Sequence[Precision], levels: Sequence[Level]) -> None:
        super().__init__()
        self.layer, self.precisions = layer, tuple(precisions)
        rounds = any(precision.activation_bits < 32 for precision in precisions)
        integer = any(precision.is_integer for precision in precisions)
        if rounds:
            self.input = Rounding()
        self.path_blocks = [k for k, block in enumerate(layer.blocks) if block.candidate.kernel]
        self.skips = [k for k, block in enumerate(layer.blocks) if not block.candidate.kernel]
        if self.path_blocks:
            blocks = [layer.blocks[k] for k in self.path_blocks]
            self.path = SharedPath(layer, blocks, rounds=rounds, levels=levels, integer=integer)
        if self.skips and not layer.keeps_shape:
            self.project = convolution(layer.c_in, layer.c_out, stride=layer.stride)
            self.project_bn = nn.BatchNorm2d(layer.c_out)
            if integer:
                self.project_rounding = Rounding()

    def forward(self, x_NCHW: Tensor, p_K: Tensor, p_P: Tensor, p_S: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride), mixed by the shares."""
        mix = mixture(self.precisions, p_P, p_S)
        skip, path = p_K[self.skips].sum(), p_K[self.path_blocks].sum()
        has_path, has_skip = path.item() > LEAST_SHARE, skip.item() > 0
        keeps = self.layer.keeps_shape
        out = None
        if keeps:  # the residual of every block, and skip itself
            out = self._added(x_NCHW, skip, path, mix) if has_path and mix.integer_share is not None else x_NCHW
            if not has_path and skip.requires_grad:
                out = x_NCHW + 0 * skip  # what blocks add to is worth nothing; but a step has a graph, whatever it drew
        read = x_NCHW
        if mix.activation_bits and (has_path or (has_skip and not keeps)):
            read = self.input(x_NCHW, mix.activation_bits, mix.activation_shares)
        if has_path:
            part = self.path(read, p_K[self.path_blocks], mix)
            out = part if out is None else out + part
        if has_skip and not keeps:
            part = self._projected(read, skip, mix)
            out = part if out is None else out + part
        assert out is not None
        return out

    def _added(self, x_NCHW: Tensor, skip: Tensor, path: Tensor, mix: Mixture) -> Tensor:
        """What blocks add their output to: integer ones a rounded input, others and skip the input as it is."""
        shares = integer_shares(path, mix)
        return rounded(x_NCHW, self.input.grids(INTEGER_BITS, torch.stack([skip + shares[0], shares[1]])))[0]

    def _projected(self, x_NCHW: Tensor, skip: Tensor, mix: Mixture) -> Tensor:
        """A skip that changes the shape, times its share."""
        out = F.conv2d(x_NCHW, mixed_grids(self.project.weight, mix), stride=self.layer.stride)
        if mix.integer_share is None:
            return apply_norm(self.project_bn, out, gain=skip)
        normed = apply_norm(self.project_bn, out)
        rounded_part: Tensor = self.project_rounding(normed, INTEGER_BITS, integer_shares(skip, mix))
        return rounded_part

    def copy_choice(self, index: int, block: TrainedBlock) -> None:
        """Writes choice `index` into a block of its own: its function at one-hot shares in evaluation mode."""
        number = self.layer.blocks.index(self.layer.choices[index].block)
        if isinstance(block, MobileBlock):
            self.path.copy_block(self.path_blocks.index(number), block)
        elif isinstance(block, Skip) and not self.layer.keeps_shape:
            block.project.load_state_dict(self.project.state_dict())
            block.project_bn.load_state_dict(self.project_bn.state_dict())
            if block.operator.is_integer:
                block.project_rounding.load_state_dict(self.project_rounding.state_dict())
        if isinstance(block, MobileBlock | Skip) and hasattr(block, "input"):
            block.input.load_state_dict(self.input.state_dict())
