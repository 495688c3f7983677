"""What each choice contributes to accuracy, estimated on the trained supernet: evidence that no device is part of.

First sub-networks are drawn and scored with the supernet's weights on pictures held out of its training, half of them
drawn evenly, so that every budget can be asked later, half as theta would; a ridge regression shares the scores among
the choices that had a part in them (by differences: BINAS, sec. 3.3; HardCoRe-NAS, sec. 3.2). Then the finalists,
architectures that hold the budgets and are best by theta or by that regression, are scored on more pictures; the best
of them is derived. What the regression says of all scores and what theta says, in the unit of the scores, err in
different ways: the evidence is their mean.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from search.axes import Axes, PerAxis
from search.batches import Batches, pixels
from search.budget import Indices, Matrix
from search.evidence import Evidence, parts_scored
from search.norms import Rounding
from search.randomness import generator
from search.reports import StepReport
from search.state import State
from search.supernet import Supernet, one_hot
from search.task import CLASSIFICATION, Task

RIDGE = 0.3  # of a draw for each option: what was seen seldom says little
FOLDS = 8
NOTE = "negative loss on held-out pictures with the supernet's weights"

# Finalists by what their choices contribute to scores, or, where nothing was drawn, without that.
Propose = Callable[[Matrix | None], Sequence[Indices]]


class Assessor:
    """Scores `samples` drawn sub-networks of `supernet`, then the finalists that `propose` names, `most` or fewer: an
    iterator of step reports, and `state_dict()` between any two.
    """

    def __init__(
        self, supernet: Supernet, *, held_out: Batches, samples: int, propose: Propose, most: int, seed: int,
        task: Task = CLASSIFICATION,
    ) -> None:  # fmt: skip
        self.supernet, self.samples, self.propose, self.most = supernet, samples, propose, most
        self.seed, self.task = seed, task
        count, parts = parts_scored(len(held_out.y_N))
        chosen = held_out.order(0)[:count]
        self.parts = [(held_out.x_NCHW[part], held_out.y_N[part]) for part in chosen.tensor_split(parts)]
        self.scores: list[float] = []  # of draws, then of finalists, on the first part
        self.finalists: tuple[Indices, ...] | None = None  # until they are named
        self.finalist_scores: list[float] = []

    def __iter__(self) -> Iterator[StepReport]:
        """Scores what remains, one report each. Raises what `propose` raises."""
        while len(self.scores) < self.samples:
            yield self._scored(self.drawn(len(self.scores)), parts=1)
        if self.finalists is None:
            self.finalists = tuple(self.propose(self.contributions()))
        while len(self.finalist_scores) < len(self.finalists):
            yield self._scored(self.finalists[len(self.finalist_scores)], parts=None)

    def _scored(self, indices: Indices, parts: int | None) -> StepReport:
        by_part = self.part_scores(indices, parts)
        score = statistics.fmean(by_part)
        self.scores.append(by_part[0])
        if self.finalists is not None:
            self.finalist_scores.append(score)
        return StepReport("assess", len(self.scores), len(self.scores) + self.left, {"score": score})

    @property
    def left(self) -> int:
        """How many have no score yet; before finalists are named, `most` of them are expected."""
        expected = self.most if self.finalists is None else len(self.finalists)
        return self.samples + expected - len(self.scores)

    def reopen(self, propose: Propose) -> None:
        """Has other finalists named, by the draws there are."""
        del self.scores[self.samples :]
        self.propose, self.finalists, self.finalist_scores = propose, None, []

    def drawn(self, number: int) -> Indices:
        """The choices of a draw."""
        theta = self.supernet.theta
        p: PerAxis[Tensor] = theta.probabilities() if number % 2 else evenly(self.supernet.axes)
        noise = generator(self.seed, "evidence", number)
        return tuple(torch.multinomial(theta.per_choice(p).detach(), 1, generator=noise).flatten().tolist())

    def part_scores(self, indices: Sequence[int], parts: int | None = None) -> list[float]:
        """Negative loss of one sub-network on each of the first `parts`, BatchNorm by the statistics of these
        very pictures.
        """
        sample, found = one_hot(self.supernet.axes, list(indices)), []
        with torch.no_grad(), keeping_statistics(self.supernet):
            for x_NCHW, y_N in self.parts[:parts]:
                found.append(-float(self.task.loss(self.supernet.train()(pixels(x_NCHW), sample), y_N)))
        return found

    def score(self, indices: Sequence[int]) -> float:
        """The score of one sub-network on as many pictures as finalists have."""
        return statistics.fmean(self.part_scores(indices))

    def ranked(self) -> list[Indices]:
        """The finalists by score, best first; of equals the more likely one."""
        assert self.finalists is not None, "no finalists were named yet"
        order = sorted(range(len(self.finalists)), key=lambda number: -self.finalist_scores[number])
        return [self.finalists[number] for number in order]

    def best(self) -> Indices:
        """The finalist with the best score."""
        return self.ranked()[0]

    def contributions(self) -> Matrix | None:
        """What each choice contributes to the scores of the draws; None without draws."""
        if not self.samples:
            return None
        axes, drawn = self.supernet.axes, range(self.samples)
        features_SF = np.stack([features(axes, self.drawn(number)) for number in drawn])
        return axes.per_choice(unpacked(axes, ridge(features_SF, np.array(self.scores[: self.samples]))))

    def _scored_networks(self) -> list[Indices]:
        """What `scores` are of."""
        return [*map(self.drawn, range(self.samples)), *(self.finalists or ())]

    def evidence(self) -> Evidence:
        """The contributions of all choices, from all scores."""
        axes, scored, scores_S = self.supernet.axes, self._scored_networks(), np.array(self.scores)
        features_SF = np.stack([features(axes, indices) for indices in scored])
        regressed = np.array(_padded(axes.per_choice(unpacked(axes, ridge(features_SF, scores_S)))))
        likely = np.array(_padded(self.supernet.theta.worth()))
        rows = np.arange(len(regressed))
        predicted_S = np.array([likely[rows, list(indices)].sum() for indices in scored])
        mean = (regressed + max(0.0, slope(predicted_S, scores_S)) * likely) / 2
        return Evidence(
            space=self.supernet.space,
            worth=[row[: len(layer.choices)].tolist() for layer, row in zip(axes.space.layers, mean, strict=True)],
            samples=len(self.scores),
            rank_correlation=held_out_correlation(features_SF, scores_S),
            note=NOTE,
        )

    def state_dict(self) -> State:
        """The scores so far, and of what."""
        return {
            "scores": list(self.scores),
            "finalist_scores": list(self.finalist_scores),
            "finalists": None if self.finalists is None else [list(indices) for indices in self.finalists],
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken."""
        self.scores, self.finalist_scores = list(state["scores"]), list(state["finalist_scores"])
        named = state["finalists"]
        self.finalists = None if named is None else tuple(tuple(indices) for indices in named)


@contextmanager
def keeping_statistics(network: nn.Module) -> Iterator[None]:
    """Within it a forward pass in train mode leaves running statistics as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | Rounding)]
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


def features(axes: Axes, indices: Sequence[int]) -> np.ndarray:
    """1 for each option that an architecture takes, layer by layer and axis by axis; 0 where an axis does not apply."""
    rows = []
    for index, places in zip(indices, axes.index_LKPS, strict=True):
        where = np.stack((places == index).nonzero(), 1)
        for axis, size in enumerate(axes.sizes):
            found = set(where[:, axis])
            one = next(iter(found)) if len(found) == 1 else None
            rows.append([float(option == one) for option in range(size)])
    return np.concatenate(rows)


def unpacked(axes: Axes, weights_F: np.ndarray) -> PerAxis[np.ndarray]:
    """Weights of features as (L, K), (L, P), (L, S)."""
    per_layer = weights_F.reshape(len(axes.space.layers), sum(axes.sizes))
    block, precision, level = np.split(per_layer, np.cumsum(axes.sizes)[:-1], axis=1)
    return PerAxis(block, precision, level)


def ridge(features_SF: np.ndarray, scores_S: np.ndarray) -> np.ndarray:
    """argmin |features w + mean - scores|^2 + RIDGE |w|^2."""
    centred = scores_S - scores_S.mean()
    gram = features_SF.T @ features_SF + RIDGE * np.eye(features_SF.shape[1])
    found: np.ndarray = np.linalg.solve(gram, features_SF.T @ centred)
    return found


def slope(predicted_S: np.ndarray, scores_S: np.ndarray) -> float:
    """Least-squares slope of the scores over a prediction of them; 0 where that does not vary."""
    centred = predicted_S - predicted_S.mean()
    variance = float(centred @ centred)
    return float(centred @ scores_S) / variance if variance > 0 else 0.0


def held_out_correlation(features_SF: np.ndarray, scores_S: np.ndarray) -> float | None:
    """Spearman's rank correlation of scores with what the others' regression predicts; None for too few."""
    if len(scores_S) < 2 * FOLDS:
        return None
    predicted = np.empty_like(scores_S)
    for fold in range(FOLDS):
        out = np.arange(len(scores_S)) % FOLDS == fold
        predicted[out] = features_SF[out] @ ridge(features_SF[~out], scores_S[~out])
    correlation = float(stats.spearmanr(predicted, scores_S).statistic)
    return correlation if np.isfinite(correlation) else None


def _padded(rows: list[list[float]]) -> list[list[float]]:
    most = max(map(len, rows))
    return [row + [0.0] * (most - len(row)) for row in rows]
