"""FBNet's own form of a searchable layer: a block of its own for every candidate, outputs summed (FBNet, eq. 5)."""

import torch
from torch import Tensor, nn

from search.blocks import Block, build
from search.space import Layer


class ReferenceLayer(nn.Module):
    """Independent candidates; costs the sum of them all. What the shared form must not lose to."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.blocks = nn.ModuleList(build(layer.operator(choice)) for choice in layer.choices)

    def forward(self, x_NCHW: Tensor, p_K: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride): sum over candidates of p_k * block_k(x)."""
        return torch.stack([p * block(x_NCHW) for p, block in zip(p_K, self.blocks, strict=True)]).sum(0)

    def copy_candidate(self, index: int, block: Block) -> None:
        """Writes candidate `index` into a block of its own."""
        block.load_state_dict(self.blocks[index].state_dict())
