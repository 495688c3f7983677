"""Precisions start from HAWQ's Omega (search.sensitivity) of the largest path."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from search.budget import Matrix
from search.reports import StepReport
from search.sensitivity import Sensitivity
from search.space import Space
from search.state import State
from search.warm_starts import PICTURES, VECTORS
from search.warm_starts.scale import logits_of
from search.warm_starts.situation import PHASE, Situation


class Omega:
    """See `search.warm_starts.situation.WarmStart`."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        batches = situation.batches
        chosen = batches.order(0)[:PICTURES]
        self.sensitivity = Sensitivity(
            situation.floats(), x_NCHW=batches.x_NCHW[chosen], y_N=batches.y_N[chosen], vectors=VECTORS,
            seed=situation.seed, task=situation.task,
        )  # fmt: skip

    def __iter__(self) -> Iterator[StepReport]:
        """Asks the vectors that remain."""
        for report in self.sensitivity:
            yield replace(report, phase=PHASE)

    @torch.no_grad()
    def start(self) -> None:
        """Sets the logits of the precisions."""
        supernet = self.situation.supernet
        omega_LK = self.sensitivity.omegas(supernet.space, self.situation.largest())
        supernet.theta.logits["precision"].copy_(logits_of(by_precision(supernet.space, omega_LK)))

    @property
    def steps_left(self) -> int:
        """Vectors."""
        return self.sensitivity.vectors - len(self.sensitivity.rows)

    def state_dict(self) -> State:
        """Of the vectors."""
        return self.sensitivity.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.sensitivity.load_state_dict(state)


def by_precision(space: Space, omega_LK: Matrix) -> Matrix:
    """(L, P) of dense choices, from Omega of each choice; NaN where the block of a layer chooses no bits."""
    rows = []
    for layer, omegas in zip(space.layers, omega_LK, strict=True):
        known = {
            choice.precision: omega
            for choice, omega in zip(layer.choices, omegas, strict=True)
            if math.isfinite(omega) and not choice.level.sparsity and not layer.operator(choice).is_identity
        }
        rows.append([known.get(precision, math.nan) for precision in space.choices.precisions])
    return rows
