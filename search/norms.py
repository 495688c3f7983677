"""BatchNorm as blocks use it: with the ReLU and the rounding behind it, on all channels or the first of them.

A grid is sized by a running root mean square, or has a step of its own: learnt, or found by calibration
(search.quantizers). Only networks have such, never a supernet.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.integers import steps_of
from search.kernels import Grids, norm_act, rounded
from search.kernels.grids import HALF_NORMAL
from search.quantizers.learnt import Learning, lsq, pact

ALL = slice(None)
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


class OwnStep(nn.Module):
    """A place where activations are rounded, whose grid may have a step of its own: `log_size` (), else None."""

    rms: Tensor
    signed: bool
    log_size: nn.Parameter | None
    learning: Learning = "lsq"

    def step_size(self, bits: int) -> float:
        """The step of its grid of `bits`."""
        if self.log_size is not None:
            return self.log_size.exp().item()
        return Grids((bits,), ONLY_GRID, self.signed, self.rms.item()).sizes[0]

    def own_step(self, size: float, learning: Learning | None = None) -> None:
        """Sets a step: one that is learnt in the given way, or one that stays."""
        self.log_size = nn.Parameter(torch.tensor(size).log(), requires_grad=learning is not None)
        self.learning = learning or self.learning

    def on_own_grid(self, x: Tensor, bits: int) -> Tensor:
        """x on the grid of its own step."""
        assert self.log_size is not None
        bottom, top = steps_of(bits, signed=self.signed)
        # Where nothing learns a step is a step, to the last bit, as in a file.
        if self.learning == "pact" and torch.is_grad_enabled():
            return pact(x, self.log_size.exp() * top, bits)
        return lsq(x, self.log_size.exp(), bottom, top)


class NormAct(nn.BatchNorm2d, OwnStep):
    """BatchNorm and ReLU; with `rounds` also what rounding needs: a running root mean square of its result."""

    signed = False

    def __init__(self, channels: int, *, rounds: bool = False) -> None:
        super().__init__(channels)
        self.rounds = rounds
        self.register_parameter("log_size", None)
        if rounds:
            self.register_buffer("rms", torch.tensor(HALF_NORMAL))

    def activate(
        self, y_NCHW: Tensor, bits: tuple[int, ...] = (), shares: Tensor | None = None, part: slice = ALL
    ) -> Tensor:
        """(N, channels of `part`, H, W), mixed over float and grids of `bits` by `shares` (1 + A,)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance, factor = self.running_mean[part], self.running_var[part], 0.0
        if self.training:
            factor = momentum_of(self)
            mean, variance = torch.batch_norm_update_stats(y_NCHW.detach(), mean, variance, factor)
        by_rms = bits and shares is not None and self.log_size is None
        grids = Grids(bits, shares, signed=False, rms=self.rms.item()) if by_rms and shares is not None else None
        out, square = norm_act(
            y_NCHW, self.weight[part], self.bias[part], mean, variance,
            eps=self.eps, grids=grids, batch_statistics=self.training,
        )  # fmt: skip
        if self.training and self.rounds:
            self.rms.lerp_(torch.tensor(square**0.5), factor)
        return out if self.log_size is None else self.on_own_grid(out, *bits)


class Rounding(OwnStep):
    """Rounds a tensor that no ReLU stands in front of, or `signed` false none below 0."""

    num_batches_tracked: Tensor

    def __init__(self, *, signed: bool = True) -> None:
        super().__init__()
        self.signed = signed
        self.register_parameter("log_size", None)
        self.register_buffer("rms", torch.tensor(1.0 if signed else HALF_NORMAL))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.momentum: float | None = 0.1

    def reset_running_stats(self) -> None:
        """Counts batches anew; the first one of a recalibration then replaces what was known."""
        self.num_batches_tracked.zero_()

    def grids(self, bits: tuple[int, ...], shares: Tensor) -> Grids:
        """The grids of `bits` at today's size."""
        return Grids(bits, shares, signed=self.signed, rms=self.rms.item())

    def forward(self, x: Tensor, bits: tuple[int, ...], shares: Tensor) -> Tensor:
        """The same shape, mixed over float and grids of `bits` by `shares` (1 + A,)."""
        if self.log_size is not None:
            return self.on_own_grid(x, *bits)
        out, square = rounded(x, self.grids(bits, shares))
        if self.training:
            self.rms.lerp_(torch.tensor(square**0.5), momentum_of(self))
        return out
