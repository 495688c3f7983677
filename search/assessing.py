"""Scores of sub-networks of a trained supernet, and the finalists among them.

First sub-networks are drawn and scored with the supernet's weights on pictures held out of its training, half of them
drawn evenly, so that every budget can be asked later, half as theta would. Then the finalists, architectures that hold
the budgets and are best by theta or by what choices contributed to those scores (search.contributions), are scored on
more pictures; the best of them is derived. What all scores say of the choices and what theta says, in the unit of the
scores, err in different ways: the evidence is their mean.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from search.architecture import Architecture
from search.axes import Axes, PerAxis
from search.batches import Batches, pixels
from search.budget import Indices, Matrix
from search.contributions import FEWEST, contributed, features, held_out_correlation, joined, likeness, regression
from search.evidence import Evidence, parts_scored
from search.network import running_norms
from search.randomness import generator, seeded
from search.reports import StepReport
from search.state import State
from search.supernet import Supernet, one_hot
from search.task import CLASSIFICATION, Task

NOTE = "negative loss on held-out pictures with the supernet's weights"
NOTE_OF_THETA = "log-probability by theta: too little was scored"
NOTE_OF_LITTLE = "too little was scored to tell choices apart, and theta knows what they cost"
# Finalists by what their choices contribute to scores, or, where too little was drawn, without that.
Propose = Callable[[Matrix | None], Sequence[Indices]]


class Assessor:
    """Scores `samples` drawn sub-networks of `supernet`, then the finalists that `propose` names, `most` or fewer: an
    iterator of step reports, and `state_dict()` between any two. Where theta `knows_costs`, as the fbnet objective has
    it, it says nothing of other devices, and is no part of the evidence.
    """

    def __init__(
        self, supernet: Supernet, *, held_out: Batches, samples: int, propose: Propose, most: int, seed: int,
        task: Task = CLASSIFICATION, knows_costs: bool = False,
    ) -> None:  # fmt: skip
        self.supernet, self.samples, self.propose, self.most = supernet, samples, propose, most
        self.seed, self.task, self.knows_costs = seed, task, knows_costs
        count, parts = parts_scored(len(held_out.y_N))
        chosen = held_out.order(0)[:count]
        self.parts = [(held_out.x_NCHW[part], held_out.y_N[part]) for part in chosen.tensor_split(parts)]
        self.drawn_scores: list[float] = []  # on the first part
        self.finalists: tuple[Indices, ...] | None = None  # until they are named
        self.by_part: list[list[float]] = []  # scores of finalists

    def __iter__(self) -> Iterator[StepReport]:
        """Scores what remains, one report each. Raises what `propose` raises."""
        while len(self.drawn_scores) < self.samples:
            (score,) = self.part_scores(self.drawn(len(self.drawn_scores)), 1)
            self.drawn_scores.append(score)
            yield StepReport("draw", len(self.drawn_scores), self.samples, {"score": score})
        if self.finalists is None:
            self.finalists = tuple(self.propose(self.contributions()))
        while (done := len(self.by_part)) < len(self.finalists):
            self.by_part.append(self.part_scores(self.finalists[done]))
            yield StepReport("assess", done + 1, len(self.finalists), {"score": self.finalist_scores[done]})

    @property
    def finalist_scores(self) -> list[float]:
        """Of those that have one, over all parts."""
        return [statistics.fmean(scores) for scores in self.by_part]

    @property
    def steps_left(self) -> dict[str, int]:
        """Of draw and assess; before finalists are named, `most` of them are expected."""
        expected = self.most if self.finalists is None else len(self.finalists)
        return {"draw": self.samples - len(self.drawn_scores), "assess": expected - len(self.by_part)}

    def reopen(self, propose: Propose) -> None:
        """Has other finalists named, by the draws there are."""
        self.propose, self.finalists, self.by_part = propose, None, []

    def drawn(self, number: int) -> Indices:
        """The choices of a draw. Each axis has noise of its own, as in the steps of the search: an even draw takes the
        same blocks whatever else there is to choose.
        """
        axes = self.supernet.axes
        p: PerAxis[Tensor] = self.supernet.theta.probabilities() if number % 2 else evenly(axes)
        options = [
            torch.multinomial(p_LO.detach(), 1, generator=generator(self.seed, f"evidence {axis}", number))
            .flatten()
            .numpy()
            for axis, p_LO in p._asdict().items()
        ]
        index_L = axes.index_LKPS[np.arange(len(axes.space.layers)), *options]
        assert (index_L >= 0).all(), "an available block has every precision and every level"
        return tuple(index_L.tolist())

    def part_scores(self, indices: Sequence[int], parts: int | None = None) -> list[float]:
        """Negative loss of one sub-network on each of the first `parts`, BatchNorm by the statistics of these
        very pictures. Raises FloatingPointError where one is no number.
        """
        sample, found = one_hot(self.supernet.axes, list(indices)), []
        with torch.no_grad(), keeping_statistics(self.supernet), seeded(self.seed, "noise of scores"):
            self.supernet.train()
            for x_NCHW, y_N in self.parts[:parts]:
                found.append(-float(self.task.loss(self.supernet(pixels(x_NCHW), sample), y_N)))
        if not all(map(math.isfinite, found)):
            names = ", ".join(choice.name for choice in Architecture.from_indices(self.supernet.space, indices).layers)
            raise FloatingPointError(f"the sub-network {names} scores {found}: lower search.weight_lr")
        return found

    def score(self, indices: Sequence[int]) -> float:
        """The score of one sub-network on as many pictures as finalists have."""
        return statistics.fmean(self.part_scores(indices))

    def ranked(self) -> dict[Indices, float]:
        """The finalists that have a score, with it, best first; of equals the one that was named first."""
        assert self.finalists is not None, "no finalists were named yet"
        scored = zip(self.finalists, self.finalist_scores, strict=False)
        return dict(sorted(scored, key=lambda one: -one[1]))

    def best(self) -> Indices:
        """The finalist with the best score."""
        return next(iter(self.ranked()))

    def contributions(self) -> Matrix | None:
        """What each choice contributes to the scores of the draws; None where those are too few to tell."""
        if self.samples < FEWEST:
            return None
        features_SF, _ = self._draws
        weights_F = regression(features_SF, np.array(self.drawn_scores), self._likeness_FF)
        return contributed(self.supernet.axes, weights_F)

    @cached_property
    def _likeness_FF(self) -> np.ndarray:
        return likeness(self.supernet.axes)

    @cached_property
    def _draws(self) -> tuple[np.ndarray, list[Indices]]:
        """Features of all draws, (S, F), and the draws."""
        drawn = [self.drawn(number) for number in range(self.samples)]
        return np.stack([features(self.supernet.axes, indices) for indices in drawn]), drawn

    def evidence(self) -> Evidence:
        """The worth of all choices, from all scores and theta, or from theta alone where too little was scored: `note`
        says which.
        """
        axes, finalists = self.supernet.axes, list(self.finalists or ())
        scored, rows_SF = list(finalists), [features(axes, indices) for indices in finalists]
        if self.samples:
            drawn_SF, drawn = self._draws
            scored, rows_SF = drawn + scored, [*drawn_SF, *rows_SF]
        features_SF = np.stack(rows_SF)
        scores_S = np.array([*self.drawn_scores, *(scores[0] for scores in self.by_part)])
        likely = np.array(_padded(self.supernet.theta.worth()))
        rows = np.arange(len(likely))
        predicted_S = None if self.knows_costs else np.array([likely[rows, list(i)].sum() for i in scored])
        weights_F, factor = joined(features_SF, scores_S, self._likeness_FF, predicted_S)
        worth, note = np.array(_padded(contributed(axes, weights_F))) + factor * likely, NOTE
        if len(scored) < FEWEST and self.knows_costs:
            note = NOTE_OF_LITTLE
        elif len(scored) < FEWEST:
            worth, note = likely, NOTE_OF_THETA
        return Evidence(
            space=self.supernet.space,
            worth=[row[: len(layer.choices)].tolist() for layer, row in zip(axes.space.layers, worth, strict=True)],
            samples=len(scored),
            rank_correlation=held_out_correlation(features_SF, scores_S, self._likeness_FF, predicted_S),
            note=note,
        )

    def state_dict(self) -> State:
        """The scores so far, and of what."""
        return {
            "drawn_scores": list(self.drawn_scores),
            "by_part": [list(scores) for scores in self.by_part],
            "finalists": None if self.finalists is None else [list(indices) for indices in self.finalists],
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken."""
        self.drawn_scores, self.by_part = list(state["drawn_scores"]), [list(scores) for scores in state["by_part"]]
        named = state["finalists"]
        self.finalists = None if named is None else tuple(tuple(indices) for indices in named)


@contextmanager
def keeping_statistics(network: nn.Module) -> Iterator[None]:
    """Within it a forward pass in train mode leaves running statistics as they are."""
    norms = running_norms(network)
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum


def evenly(axes: Axes) -> PerAxis[Tensor]:
    """Every option of a categorical as likely as the others."""
    block = torch.from_numpy(axes.available_LK).float()
    layers = len(block)
    precision, level = (torch.full((layers, size), 1.0 / size) for size in axes.sizes[1:])
    return PerAxis(block / block.sum(1, keepdim=True), precision, level)


def _padded(rows: list[list[float]]) -> list[list[float]]:
    most = max(map(len, rows))
    return [row + [0.0] * (most - len(row)) for row in rows]
