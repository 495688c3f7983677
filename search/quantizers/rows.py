"""Layers whose weight is rounded row by row: on grids sized by the rows themselves, or on steps of their own."""

import torch
from torch import Tensor, nn

from search.kernels import Views, mix_views, row_sizes
from search.kernels.grids import weight_top
from search.quantizers.learnt import LEAST_SIZE, lsq

ONLY_GRID = torch.tensor([[0.0, 1.0]])
EVERY_LEVEL = torch.ones(1, 1)


class _Rows(nn.Module):
    """`log_size` (O,) is None where rows size their grids themselves (search.kernels.grids.row_sizes)."""

    weight: Tensor
    log_size: nn.Parameter | None

    def rounded(self, bits: int) -> Tensor:
        """The weight on a grid of `bits` per output channel; itself at 32."""
        if bits == 32:
            return self.weight
        if self.log_size is None:
            views = Views(((0, self.weight[0].numel()),), (bits,))
            return mix_views(self.weight.flatten(1), ONLY_GRID, EVERY_LEVEL, views).view_as(self.weight)
        return lsq(self.weight, self.log_size.exp(), -weight_top(bits), weight_top(bits))

    def step_sizes(self, bits: int) -> Tensor:
        """The step of each row (O,), without gradient."""
        if self.log_size is not None:
            return self.log_size.detach().exp()
        return row_sizes(self.weight.detach().flatten(1), bits)[:, 0]

    def own_steps(self, size_O: Tensor, *, learnt: bool) -> None:
        """Sets a step for each row: learnt by LSQ, or such that stay."""
        self.log_size = nn.Parameter(size_O.clamp_min(LEAST_SIZE).log(), requires_grad=learnt)


class RoundedConv(nn.Conv2d, _Rows):
    """A convolution without bias that keeps height and width at stride 1."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.register_parameter("log_size", None)


class RoundedLinear(nn.Linear, _Rows):
    """A classifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_parameter("log_size", None)
