"""The architecture parameters: logits of each layer's categoricals, and which of their options are still open."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from search.axes import Axes, PerAxis
from search.randomness import generator
from search.supernet.sampler import SAMPLERS

LEAST_SHARE = 1e-30  # of an open option: its log is a number
LEAST_LOG = -1e300
Sample = PerAxis[Tensor]  # shares of one step: (L, K), (L, P), (L, S); rows sum to 1


class Theta(nn.Module):
    """Logits (L, K), (L, P), (L, S), learnt from the task alone, and a tilt that budgets put on them.

    Shares and probabilities are those of logits - tilt; what a choice is worth is in the logits, and no device is part
    of it. A categorical of one option has no parameter. Closed options have share 0.
    """

    choice_of: Tensor

    def __init__(self, axes: Axes) -> None:
        super().__init__()
        self.axes = axes
        layers = len(axes.space.layers)
        self.logits = nn.ParameterDict()
        self.most_choices = max(len(layer.choices) for layer in axes.space.layers)
        index = torch.from_numpy(axes.index_LKPS).flatten(1)
        self.register_buffer("choice_of", index.masked_fill(index < 0, self.most_choices), persistent=False)
        for axis, size in axes.sizes._asdict().items():
            opened = torch.from_numpy(axes.available_LK) if axis == "block" else torch.ones(layers, size).bool()
            self.register_buffer(f"open_{axis}", opened.clone())
            self.register_buffer(f"tilt_{axis}", torch.zeros(layers, size))
            if size > 1:
                self.logits[axis] = nn.Parameter(torch.zeros(layers, size))

    def opened(self, axis: str) -> Tensor:
        """Bool (L, options): what may still be chosen."""
        return self.get_buffer(f"open_{axis}")

    def tilt(self, axis: str) -> Tensor:
        """What budgets take off the logits, (L, options)."""
        return self.get_buffer(f"tilt_{axis}")

    def _logits(self, axis: str) -> Tensor:
        """Those of a categorical; 0 where it has one option."""
        return self.logits[axis] if axis in self.logits else torch.zeros(self.opened(axis).shape)

    def _each(self) -> Iterator[tuple[str, Tensor]]:
        for axis in PerAxis._fields:
            yield axis, (self._logits(axis) - self.tilt(axis)).masked_fill(~self.opened(axis), -torch.inf)

    def sample(self, sampler: str, temperature: float, seed: int, step: int) -> Sample:
        """The shares of one step; the same for the same arguments and logits."""
        draw = SAMPLERS[sampler]
        return PerAxis(*(draw(t, temperature, generator(seed, f"gumbel {axis}", step)) for axis, t in self._each()))

    def largest(self) -> Sample:
        """The shares that take the largest open option of each categorical alone."""
        rows = []
        for axis, rank in self.axes.largeness._asdict().items():
            opened = self.opened(axis)
            best = torch.from_numpy(rank).masked_fill(~opened, -torch.inf).argmax(1, keepdim=True)
            rows.append(torch.zeros(opened.shape).scatter_(1, best, 1.0))
        return PerAxis(*rows)

    def probabilities(self) -> Sample:
        """softmax of the logits: how likely each option is, without noise."""
        return PerAxis(*(torch.softmax(t, dim=1) for _, t in self._each()))

    def per_choice(self, p: Sample) -> Tensor:
        """Probability of each choice of each layer, (L, choices), from those of its parts; 0 where there is none."""
        combined_LKPS = p.block[:, :, None, None] * p.precision[:, None, :, None] * p.level[:, None, None, :]
        flat = self.choice_of.new_zeros(len(self.choice_of), self.most_choices + 1, dtype=p.block.dtype)
        return flat.scatter_add(1, self.choice_of, combined_LKPS.flatten(1))[:, :-1]

    @torch.no_grad()
    def log_untilted(self) -> Tensor:
        """Log-probability of each choice by the task alone, (L, choices) in double precision; -inf of closed ones."""
        return self._of_choices(self._log_combinations())[:, :-1]

    @torch.no_grad()
    def tilt_to(self, q_LK: Tensor) -> None:
        """Tilts each categorical to the shares that its options have of q_LK, probabilities of the choices, (L,
        choices). Where an axis does not apply to a choice, its options share that choice as they did.
        """
        log_LN = self._log_combinations()
        log_within_LN = log_LN - self._of_choices(log_LN).gather(1, self.choice_of)
        padded = torch.cat([q_LK, torch.zeros(len(q_LK), 1, dtype=q_LK.dtype)], 1)
        q_LKPS = (log_within_LN.exp().nan_to_num(0.0) * padded.gather(1, self.choice_of)).reshape(-1, *self.axes.sizes)
        for axis, others in zip(PerAxis._fields, ((2, 3), (1, 3), (1, 2)), strict=True):
            opened = self.opened(axis)
            tilt = self._logits(axis).double() - q_LKPS.sum(others).clamp_min(LEAST_SHARE).log()
            tilt = tilt - tilt.masked_fill(~opened, torch.inf).amin(1, keepdim=True)  # a constant along a row is free
            self.tilt(axis).copy_(tilt.masked_fill(~opened, 0.0))

    def _log_combinations(self) -> Tensor:
        """Log-probabilities by the task alone of block, precision and level, flat: (L, K * P * S)."""
        block, precision, level = (
            self._logits(axis).double().masked_fill(~self.opened(axis), -torch.inf).log_softmax(1)
            for axis in PerAxis._fields
        )
        return (block[:, :, None, None] + precision[:, None, :, None] + level[:, None, None, :]).flatten(1)

    def _of_choices(self, log_LN: Tensor) -> Tensor:
        """log of the sum of exp over the combinations that are one choice, (L, choices); a last column is of those that
        are none.
        """
        nothing = torch.full((len(log_LN), self.most_choices + 1), -torch.inf, dtype=log_LN.dtype)
        greatest = nothing.scatter_reduce(1, self.choice_of, log_LN, "amax").clamp_min(LEAST_LOG)
        within_LN = (log_LN - greatest.gather(1, self.choice_of)).exp()
        return torch.zeros_like(nothing).scatter_add(1, self.choice_of, within_LN).log() + greatest

    @torch.no_grad()
    def worth(self) -> list[list[float]]:
        """What the task alone says of each choice of each layer, as log-probability. Closed options keep what they were
        last thought worth: no budget becomes unreachable by closing them.
        """
        logs = []
        for axis in PerAxis._fields:
            logits = self._logits(axis)
            if axis == "block":
                logits = logits.masked_fill(~torch.from_numpy(self.axes.available_LK), -torch.inf)
            logs.append(torch.log_softmax(logits.double(), dim=1).numpy())
        return self.axes.per_choice(PerAxis(*logs))

    @torch.no_grad()
    def close_below(self, share: float, of_even: float = math.inf) -> int:
        """Closes options whose probability fell below `share`, and below `of_even` of what each would have if all open
        ones were alike; never a layer's last. Gives how many.
        """
        closed = 0
        for axis, p in self.probabilities()._asdict().items():
            low = (of_even / self.opened(axis).sum(1, keepdim=True)).clamp(max=share)
            falling = self.opened(axis) & (p < low) & (p < p.amax(1, keepdim=True))
            self.opened(axis)[falling] = False
            closed += int(falling.sum())
        return closed


def one_hot(axes: Axes, indices: tuple[int, ...] | list[int]) -> Sample:
    """The shares that take one choice a layer alone."""
    rows = [torch.zeros(len(axes.space.layers), size) for size in axes.sizes]
    for number, index in enumerate(indices):
        where = (axes.index_LKPS[number] == index).nonzero()
        for row, place in zip(rows, where, strict=True):
            row[number, int(place[0])] = 1.0
    return PerAxis(*rows)
