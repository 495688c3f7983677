"""The shared form of a searchable layer: choices are views of one weight, so one convolution serves them all.

Skip is a path of its own beside that of the blocks (search.supernet.path).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from search.blocks import Block as TrainedBlock
from search.blocks import MobileBlock, Skip, convolution
from search.choices import Level, Precision
from search.norms import InputRounding, apply_norm
from search.space import Layer
from search.supernet.mixture import mixed_grids, mixture
from search.supernet.path import SharedPath


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
