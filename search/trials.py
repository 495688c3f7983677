"""A short training of the best finalists before one of them is chosen.

Scores on the supernet tell what its weights make of an architecture, not what training will still make of it. So the
best few can be trained for a while, each from where the training of the result will start, and judged on the pictures
held out; the better half then for longer (successive halving: Jamieson 2016, fig. 1). Each trial is a training of its
own, down to a rate of 0: what an unfinished one would be worth does not show.

Short trainings are mostly luck between networks of like bits, which scores order better, and tell much of few bits, of
which scores say too much good. So the two are joined: `worths`, docs/decisions/0009-trials.md.

Legend: N networks, F features.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from search.architecture import Architecture
from search.batches import Batches, evaluation
from search.choices import Precision
from search.datasets.data import ImageData
from search.finish import Trainer
from search.network import Network
from search.reports import StepReport
from search.spec import Finish
from search.state import State
from search.task import CLASSIFICATION, Task

FAR = 0.125  # of the loss of the best trial, or of 1 nat: one that is so far behind is so by more than luck
# About the variance of a trial's luck over that of what scores err by: of few bits throughout; between supernets.
BITS_RIDGE, SUPERNET_RIDGE = 1.0, 0.03
SUPERNET = "supernet "  # begins the name of that feature; others are precisions
OWN_SHARE = 0.6  # of what is left of a trial as long as the training of the result, the network's own; less of others


class Finalist(NamedTuple):
    """An architecture; `start`, which makes it with the weights that a trial begins with, the same each time; and its
    `score`, a negative loss on the supernet number `scored_by`, where there are several.
    """

    architecture: Architecture
    start: Callable[[], Network]
    score: float
    scored_by: int = 0


def worths(finalists: Sequence[Finalist], trials: Sequence[float], *, length: float) -> list[float]:
    """What each is worth by its score and the result of its trial, both negative losses. `length` is that of trials in
    trainings of the result.

    A trial is taken for score + mean + bits + own + luck: `bits` is linear in the shares of the layers that have each
    precision of few bits, and in which supernet scored, by a ridge regression over all; what is left is the network's
    own by OWN_SHARE * length (as in a Gaussian process with a linear part: Rasmussen 2006, sec. 2.7). Where all are of
    8 bits and more, and of one supernet, scores decide but for near ties and long trials. One whose trial ends FAR
    behind the best, or in no number, is worth nothing, -inf, and says nothing of the others: losses of the hopeless are
    all alike. None is worth more than another that its supernet scored as well and whose trial was as good. Raises
    FloatingPointError where no trial ended in a number.
    """
    best = max((trial for trial in trials if math.isfinite(trial)), default=-math.inf)
    near = [number for number, trial in enumerate(trials) if best - trial <= FAR * max(1.0, abs(best))]
    if not near:
        raise FloatingPointError("no trial of a finalist ended with a loss that is a number: try a lower finish.lr")
    tried = [(finalists[number], trials[number]) for number in near]
    found = _worths(tried, length)
    capped = [min(worth for worth, other in zip(found, tried, strict=True) if _is_as_good(other, one)) for one in tried]
    return [dict(zip(near, capped, strict=True)).get(number, -math.inf) for number in range(len(trials))]


def _is_as_good(other: tuple[Finalist, float], one: tuple[Finalist, float]) -> bool:
    """Whether `other` is, by score and trial, as good as `one`."""
    compares = other[0].scored_by == one[0].scored_by
    return compares and other[0].score >= one[0].score and other[1] >= one[1]


def _worths(tried: Sequence[tuple[Finalist, float]], length: float) -> list[float]:
    score_N = np.array([finalist.score for finalist, _ in tried])
    beyond_N = np.array([trial for _, trial in tried]) - score_N
    rows = [_features(finalist) for finalist, _ in tried]
    names = sorted({name for row in rows for name in row})
    x_NF = np.array([[row.get(name, 0.0) for name in names] for row in rows]).reshape(len(rows), len(names))
    x_NF -= x_NF.mean(0)
    centred_N = beyond_N - beyond_N.mean()
    ridge_F = [SUPERNET_RIDGE if name.startswith(SUPERNET) else BITS_RIDGE for name in names]
    weight_F = np.linalg.solve(x_NF.T @ x_NF + np.diag(ridge_F), x_NF.T @ centred_N)
    expected_N = x_NF @ weight_F
    own_N = OWN_SHARE * min(1.0, length) * (centred_N - expected_N)
    found: list[float] = (score_N + beyond_N.mean() + expected_N + own_N).tolist()
    return found


def _features(finalist: Finalist) -> dict[str, float]:
    layers = finalist.architecture.layers
    shares = {f"{SUPERNET}{finalist.scored_by}": 1.0}
    for layer in layers:
        if Precision.parse(layer.precision).has_few_bits:
            shares[layer.precision] = shares.get(layer.precision, 0.0) + 1 / len(layers)
    return shares


class Trials:
    """Trains `finalists` on the training part of `data`: in each round of `plan` so many of them, for so many epochs,
    otherwise as `settings` says; the first round has all, a later one the best of the one before. An iterator of step
    reports, and `state_dict()` between any two. Scores of trials are negative losses on `held_out`; of one that ends in
    no number NaN, which is worse than any, and no reason to lose the others.
    """

    def __init__(
        self, finalists: Sequence[Finalist], *, plan: Sequence[tuple[int, int]], data: ImageData,
        held_out: Batches, settings: Finish, seed: int, task: Task = CLASSIFICATION,
    ) -> None:  # fmt: skip
        assert plan[0][0] == len(finalists), "the first round has all finalists"
        self.finalists, self.data, self.held_out = tuple(finalists), data, held_out
        self.plan, self.settings, self.seed, self.task = tuple(plan), settings, seed, task
        self.steps = sum(count * epochs for count, epochs in plan) * max(1, len(data.y_train) // settings.batch_size)
        self.step = 0
        self.scores: list[list[float]] = [[] for _ in plan]  # by round, in the order of `entrants`
        self.trainer: Trainer | None = None

    def entrants(self, number: int) -> list[Finalist]:
        """Whom round `number` tries, in the order of the finalists. The round before has to be over."""
        if number == 0:
            return list(self.finalists)
        before, found = self.entrants(number - 1), self.worths(number - 1)
        trials = [trial if math.isfinite(trial) else -math.inf for trial in self.scores[number - 1]]
        best = sorted(range(len(before)), key=lambda one: (-found[one], -trials[one]))[: self.plan[number][0]]
        return [before[one] for one in sorted(best)]

    def __iter__(self) -> Iterator[StepReport]:
        """Does what remains, one report a training step. Raises FloatingPointError where all end in no number."""
        for number, (count, _) in enumerate(self.plan):
            while len(self.scores[number]) < count:
                trainer = self.trainer = self.trainer or self._start(number)
                try:
                    for report in trainer:
                        self.step += 1
                        at = {"finalist": len(self.scores[number]) + 1, "finalists": count, "round": number + 1}
                        yield StepReport("trial", self.step, self.steps, {**report.data, **at})
                except FloatingPointError:
                    self.step += trainer.steps - trainer.step + 1  # the step that found it is not told
                    self.scores[number].append(math.nan)
                else:
                    self.scores[number].append(self._score(trainer))
                self.trainer = None

    def _start(self, number: int) -> Trainer:
        network = self.entrants(number)[len(self.scores[number])].start()
        settings = self.settings.of_trial(self.plan[number][1])
        return Trainer(network, data=self.data, settings=settings, seed=self.seed, task=self.task)

    def _score(self, trainer: Trainer) -> float:
        if not all(bool(weight.isfinite().all()) for weight in trainer.learner.parameters()):
            return math.nan  # by its last step
        trainer.settle()
        with torch.inference_mode():
            output = torch.cat([trainer.network(x_NCHW) for x_NCHW in evaluation(self.held_out.x_NCHW)])
            return -float(self.task.loss(output, self.held_out.y_N))

    def best(self) -> Finalist:
        """The one that is worth most by the last round; of equals the one that came first."""
        last = len(self.plan) - 1
        found = self.worths(last)
        return self.entrants(last)[found.index(max(found))]

    def worths(self, number: int) -> list[float]:
        """What the entrants of a round that is over are worth by it."""
        length = self.plan[number][1] / self.settings.epochs
        return worths(self.entrants(number), self.scores[number], length=length)

    def state_dict(self) -> State:
        """All that the remaining steps depend on, beside what finalists start from."""
        return {
            "step": self.step,
            "scores": [list(scores) for scores in self.scores],
            "trainer": None if self.trainer is None else self.trainer.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit."""
        self.step, self.scores = state["step"], [list(scores) for scores in state["scores"]]
        if state["trainer"] is not None:
            self.trainer = self._start(next(n for n, (count, _) in enumerate(self.plan) if len(self.scores[n]) < count))
            self.trainer.load_state_dict(state["trainer"])
