"""Joint search and the three it is compared with: each from the budgets of one metric to a network for each of them.

A search serves all its budgets: it holds the middle one, and derives within the others from what it learnt. For each
budget TRIED finalists or more are trained for TRIAL_EPOCHS, and the best on held-out pictures is derived; the best of a
tighter budget, where that did better: it holds the wider one too. Trials start from new weights, as the training does
that all are judged by (docs/concepts/supernet.md).
All have at least as many epochs of search, and of trials, as joint search:
  joint          candidate, width and precision in one search of EPOCHS
  uniform_int8   candidate and width in one search of EPOCHS, every layer w8a8
  uniform_width  candidate and precision, one width factor for the whole network: a search for each factor that can hold
                 a budget, of two epochs at least, one of them warm-up as in the others; as many trials of each
  sequential     candidates in float32 at full width in a search of EPOCHS; then for each budget and each precision that
                 can hold it the widest factor that does, and the best candidates there by what was learnt
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from math import ceil
from typing import NamedTuple

from benchmarks._joint_task import FLOAT, INT8, WIDTHS, Task, offering
from search.architecture import Architecture
from search.batches import training_part
from search.budget import Budget, Indices
from search.contributions import Assessor
from search.datasets import ImageData
from search.derive import solve_best
from search.finalists import to_try
from search.finish import Trainer
from search.network import Network
from search.searcher import Searcher
from search.space import Space
from search.spec import Finish, Search
from search.trials import Finalist, Trials

PICTURES = 24_000
EPOCHS = 4
FINALISTS = 32
TRIED, TRIAL_EPOCHS = 6, 2
SEARCH = Search(epochs=EPOCHS, warmup_epochs=1, batch_size=64)
# From new weights. On 8,000 pictures, behind 12 epochs from those of a search, a network of one width, whose supernet
# had trained little else, had 85.4 % and one of the joint space 84.3; behind 36 from new ones 84.4 and 86.1 (MPIC, seed
# 0). Statistics instead of learnt steps leave 2 bits two points below (./run bench quantizers).
# A rate of 0.1 was worse in the mean of three networks on MPIC, seed 0, and spread more (docs/decisions/0006).
FINISH = Finish(epochs=8, batch_size=64, lr=0.05, weights="scratch", quantizer="lsq")


class Scored(NamedTuple):
    """An architecture and what it was thought worth: negative cross-entropy."""

    architecture: Architecture
    score: float


class Tuning(NamedTuple):
    """What every method is given: the training pictures of `data`, and a seed."""

    data: ImageData
    seed: int

    def searched(self, space: Space, budget: Budget, epochs: int) -> Searcher:
        """A finished search."""
        settings = SEARCH.model_copy(update={"epochs": epochs})
        searcher = Searcher(space, data=self.data, budgets=[budget], settings=settings, seed=self.seed)
        for _ in searcher:
            pass
        return searcher

    def ranked(self, searcher: Searcher, finalists: Sequence[Indices]) -> list[Indices]:
        """The finalists by their score on the supernet, best first."""
        held_out = searcher.theta_batches
        assessor = Assessor(searcher.supernet, held_out=held_out, finalists=finalists, samples=0, seed=self.seed)
        for _ in assessor:
            pass
        return assessor.ranked()

    def finalists(self, searcher: Searcher, task: Task, count: int = TRIED) -> list[Architecture]:
        """Those of a finished search that are tried within one budget."""
        found = self.ranked(searcher, searcher.finalists(FINALISTS, [task.budget(searcher.space)]))
        return [Architecture.from_indices(searcher.space, i) for i in to_try(searcher.space, found, count)]

    def derived(self, tried: Sequence[Architecture], searcher: Searcher) -> Scored:
        """The best of all behind their trials, on pictures that no search trained weights on: `searcher` is one of
        them, and all hold out the same.
        """
        trials = Trials(
            [Finalist(architecture, partial(Network.new, architecture, self.seed)) for architecture in tried],
            plan=[(len(tried), TRIAL_EPOCHS)],
            data=training_part(self.data, searcher.weight_batches),
            held_out=searcher.theta_batches,
            settings=FINISH,
            seed=self.seed,
        )
        for _ in trials:
            pass
        return Scored(trials.best().architecture, max(trials.scores[-1]))

    def one_search(self, tasks: Sequence[Task], precisions: Sequence[str]) -> Iterator[Architecture]:
        """Over candidates, widths and `precisions`."""
        space = offering(precisions, WIDTHS)
        searcher = self.searched(space, middle(tasks).budget(space), EPOCHS)
        return best_until(self.derived(self.finalists(searcher, task), searcher) for task in tasks)


def joint(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search for all."""
    return tuning.one_search(tasks, tasks[0].precisions)


def uniform_int8(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search with w8a8 everywhere."""
    return tuning.one_search(tasks, [INT8.name])


def uniform_width(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search a width factor."""
    factors = sorted({factor for task in tasks for factor in task.factors()})
    epochs = max(2, ceil(EPOCHS / len(factors)))
    searchers = {}
    for factor in factors:
        space = offering(tasks[0].precisions, [factor])
        held = middle([task for task in tasks if factor in task.factors()])
        searchers[factor] = tuning.searched(space, held.budget(space), epochs)

    def best(task: Task) -> Scored:
        own = [searchers[factor] for factor in task.factors()]
        tried = [one for searcher in own for one in tuning.finalists(searcher, task, ceil(TRIED / len(own)))]
        return tuning.derived(tried, own[0])

    return best_until(map(best, tasks))


def sequential(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """Operators first, compression after."""
    space = offering([FLOAT.name], [1.0])
    searcher = tuning.searched(space, tasks[0].float_budget(space), EPOCHS)
    worth = searcher.supernet.theta.worth()

    def best(task: Task) -> Scored:
        each = ceil(TRIED / len(task.compressions()))
        return tuning.derived([one for how in task.compressions() for one in compressed(task, *how)[:each]], searcher)

    def compressed(task: Task, precision: str, factor: float) -> list[Architecture]:
        space = offering([precision], [factor])  # its choices stand in the order of the float32 ones
        found = tuning.ranked(searcher, solve_best(worth, [task.budget(space)], FINALISTS))
        return [Architecture.from_indices(space, indices) for indices in found]

    return best_until(map(best, tasks))


def best_of(found: Iterable[Scored]) -> Scored:
    """The one of most score; of equals the first."""
    return max(found, key=lambda one: one.score)


def best_until(found: Iterable[Scored]) -> Iterator[Architecture]:
    """For each budget, tightest first, the best of those found for it and for tighter ones."""
    return (one.architecture for one in accumulate(found, lambda best, one: best_of((best, one))))


def middle(tasks: Sequence[Task]) -> Task:
    """The task whose budget a search holds for all."""
    return tasks[(len(tasks) - 1) // 2]


def trained(network: Network, data: ImageData, settings: Finish, seed: int) -> None:
    """Trains a network and settles it."""
    trainer = Trainer(network, data=data, settings=settings, seed=seed)
    for _ in trainer:
        pass
    trainer.settle()


METHODS: dict[str, Callable[[Sequence[Task], Tuning], Iterator[Architecture]]] = {
    "joint": joint,
    "uniform_int8": uniform_int8,
    "uniform_width": uniform_width,
    "sequential": sequential,
}
