"""Layers whose weight is rounded row by row: on grids sized by the rows themselves, or on steps of their own."""

import torch
from torch import Tensor, nn

from search.kernels import Views, mix_views, sizes_of_rows, step_rows
from search.quantizers.own_steps import OwnSteps

ONLY_GRID = torch.tensor([[0.0, 1.0]])
EVERY_LEVEL = torch.ones(1, 1)


class _Rows(OwnSteps):
    """Steps of each row (O,): search.kernels.sizes_of_rows, where it has none of its own."""

    weight: Tensor

    def rounded(self, bits: int) -> Tensor:
        """The weight on a grid of `bits` per output channel; itself at 32."""
        if bits == 32:
            return self.weight
        if not self.has_own:
            views = Views(((0, self.weight[0].numel()),), (bits,))
            return mix_views(self.weight.flatten(1), ONLY_GRID, EVERY_LEVEL, views).view_as(self.weight)
        return step_rows(self.weight.flatten(1), self.own_sizes(bits), bits).view_as(self.weight)

    def sizes_by_statistics(self, bits: int) -> Tensor:
        """The steps (O,) of the rows as they are now."""
        return sizes_of_rows(self.weight.detach().flatten(1), bits)

    def step_sizes(self, bits: int) -> Tensor:
        """The step of each row (O,), without gradient."""
        return self.own_sizes(bits).detach() if self.has_own else self.sizes_by_statistics(bits)


class RoundedConv(nn.Conv2d, _Rows):
    """A convolution without bias that keeps height and width at stride 1."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.leave_to_statistics()


class RoundedLinear(nn.Linear, _Rows):
    """A classifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.leave_to_statistics()
