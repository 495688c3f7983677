"""BatchNorm as blocks use it: with the ReLU and the rounding after it, on all channels or the first of them.

A grid is sized by a running root mean square, or has a step of its own (search.quantizers.own_steps). Only networks
have such, never a supernet.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.kernels import Grids, norm_act, rounded
from search.kernels.grids import HALF_NORMAL
from search.kernels.learnt import Learning
from search.quantizers.own_steps import OwnSteps

ALL = slice(None)
ALL_NEW = 1.0  # what the first batch of a recalibration counts: grids are sized by it, not by what was
ONLY_GRID = torch.tensor([0.0, 1.0])  # shares of one grid alone


def momentum_of(norm: "nn.BatchNorm2d | Rounding") -> float:
    """How much the next batch counts; counts it. Without a momentum the statistics are plain means (recalibration)."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1.0 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


def apply_norm(norm: nn.BatchNorm2d, y_NCHW: Tensor, gain: Tensor | None = None) -> Tensor:
    """BatchNorm with its result times `gain`, at no cost of its own."""
    weight, bias = (norm.weight, norm.bias) if gain is None else (norm.weight * gain, norm.bias * gain)
    factor = momentum_of(norm) if norm.training else 0.0
    return F.batch_norm(
        y_NCHW, norm.running_mean, norm.running_var, weight, bias, norm.training, factor, norm.eps
    )  # fmt: skip


class OwnStep(OwnSteps):
    """A place where activations are rounded, on one grid that `rms` or a step of its own sizes."""

    rms: Tensor
    signed: bool
    learning: Learning = "lsq"

    def sizes_by_statistics(self, bits: int) -> Tensor:
        """The step () that the root mean square takes."""
        return torch.tensor(self._by_rms(bits))

    def _by_rms(self, bits: int) -> float:
        return Grids((bits,), ONLY_GRID, self.signed, self.rms.item()).sizes[0]

    def step_size(self, bits: int) -> float:
        """The step of its grid of `bits`."""
        return self.own_sizes(bits).item() if self.has_own else self._by_rms(bits)

    def grids(self, bits: tuple[int, ...], shares: Tensor) -> Grids:
        """The grids of `bits` at today's size."""
        step = self.own_sizes(*bits) if self.has_own else None
        return Grids(bits, shares, self.signed, self.rms.item(), step, clips_only=self.learning == "pact")


class NormAct(nn.BatchNorm2d, OwnStep):
    """BatchNorm and ReLU; with `rounds` also what rounding needs: a running root mean square of its result."""

    signed = False

    def __init__(self, channels: int, *, rounds: bool = False) -> None:
        super().__init__(channels)
        self.rounds = rounds
        self.leave_to_statistics()
        if rounds:
            self.register_buffer("rms", torch.tensor(HALF_NORMAL))

    def activate(
        self, y_NCHW: Tensor, bits: tuple[int, ...] = (), shares: Tensor | None = None, part: slice = ALL
    ) -> Tensor:
        """(N, channels of `part`, H, W), mixed over float and grids of `bits` by `shares` (1 + A,)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance = self.running_mean, self.running_var
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if part.stop not in (None, self.num_features):  # a slice of all is a copy in the backward pass
            mean, variance, weight, bias = mean[part], variance[part], weight[part], bias[part]
        factor = 0.0
        if self.training:
            factor = momentum_of(self)
            mean, variance = torch.batch_norm_update_stats(y_NCHW.detach(), mean, variance, factor)
        given = y_NCHW, weight, bias, mean, variance
        if factor == ALL_NEW and self.rounds:
            self.rms.fill_(norm_act(*given, eps=self.eps, grids=None, batch_statistics=True)[1] ** 0.5)
        grids = self.grids(bits, shares) if bits and shares is not None else None
        out, square = norm_act(*given, eps=self.eps, grids=grids, batch_statistics=self.training)
        if self.training and self.rounds:
            self.rms.lerp_(torch.tensor(square**0.5), factor)
        return out


class Rounding(OwnStep):
    """Rounds a tensor that no ReLU stands in front of, or `signed` false none below 0."""

    num_batches_tracked: Tensor

    def __init__(self, *, signed: bool = True) -> None:
        super().__init__()
        self.signed = signed
        self.leave_to_statistics()
        self.register_buffer("rms", torch.tensor(1.0 if signed else HALF_NORMAL))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.momentum: float | None = 0.1

    def reset_running_stats(self) -> None:
        """Counts batches anew; the first one of a recalibration then replaces what was known."""
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor, bits: tuple[int, ...], shares: Tensor) -> Tensor:
        """The same shape, mixed over float and grids of `bits` by `shares` (1 + A,)."""
        factor = momentum_of(self) if self.training else 0.0
        if factor == ALL_NEW:
            self.rms.copy_(x.detach().square().mean().sqrt())
        out, square = rounded(x, self.grids(bits, shares))
        if self.training:
            self.rms.lerp_(torch.tensor(square**0.5), factor)
        return out
