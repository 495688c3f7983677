"""FBNet's own form of a searchable layer: a block of its own for every choice, outputs summed (FBNet, eq. 5)."""

from collections.abc import Sequence

from torch import Tensor, nn

from search.blocks import Block, build
from search.choices import Level, Precision
from search.space import Layer


class ReferenceLayer(nn.Module):
    """Independent choices; costs the sum of them all. What the shared form must not lose to."""

    def __init__(self, layer: Layer, precisions: Sequence[Precision], levels: Sequence[Level]) -> None:
        super().__init__()
        self.layer, self.precisions, self.levels = layer, tuple(precisions), tuple(levels)
        self.choices = nn.ModuleList(build(layer.operator(choice)) for choice in layer.choices)

    def forward(self, x_NCHW: Tensor, p_K: Tensor, p_P: Tensor, p_S: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride): sum over choices of their shares times block(x)."""
        out: Tensor | None = None
        for choice, block in zip(self.layer.choices, self.choices, strict=True):
            is_skip = not choice.candidate.kernel
            share = p_K[self.layer.blocks.index(choice.block)]
            if not (is_skip and self.layer.keeps_shape):
                share = share * p_P[self.precisions.index(choice.precision)]
            if not is_skip:
                share = share * p_S[self.levels.index(choice.level)]
            if share.item() > 0:
                part = share * block(x_NCHW)
                out = part if out is None else out + part
        assert out is not None
        return out

    def copy_choice(self, index: int, block: Block) -> None:
        """Writes choice `index` into a block of its own."""
        block.load_state_dict(self.choices[index].state_dict())
