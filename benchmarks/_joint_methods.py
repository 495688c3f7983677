"""Joint search and the three it is compared with: each from the budgets of one metric to a network for each of them.

A search serves all its budgets: it holds the middle one, and derives within the others from what it learnt. For each
budget TRIED finalists or more are trained for TRIAL_EPOCHS, and the best by scores and trials on held-out pictures is
derived (search.trials). Trials start from new weights, as the training does that all are judged by.
All have at least as many epochs of search, and of trials, as joint search:
  joint          candidate, width and precision in one search of EPOCHS
  uniform_int8   candidate and width in one search of EPOCHS, every layer w8a8
  uniform_width  candidate and precision, one width factor for the whole network: a search for each factor that can hold
                 a budget, of three epochs at least, one of them warm-up as in the others; as many trials of each
  sequential     candidates in float32 at full width in a search of EPOCHS; then for each budget and each precision that
                 can hold it the widest factor that does, and the best candidates there by what was learnt
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import ceil
from typing import NamedTuple

from benchmarks._joint_task import FLOAT, INT8, WIDTHS, Task, offering
from search.alike import needed
from search.architecture import Architecture
from search.assessing import Assessor, Propose
from search.batches import training_part
from search.budget import Budget, Indices, Matrix
from search.datasets import ImageData
from search.finalists import finalists, to_try
from search.finish import Trainer
from search.network import Network
from search.searcher import Searcher
from search.space import Space
from search.spec import Finish, Search
from search.trials import Finalist, Trials

PICTURES = 24_000
EPOCHS = 6
FINALISTS = 32
TRIED, TRIAL_EPOCHS = 6, 2
SEARCH = Search(epochs=EPOCHS, warmup_epochs=1, batch_size=128)
# From new weights. On 8,000 pictures of one garment, after 12 epochs from those of a search, a network of one width,
# whose supernet had trained little else, had 85.4 % and one of the joint space 84.3; after 36 from new ones 84.4 and
# 86.1 (MPIC, seed 0). Statistics instead of learnt steps leave 2 bits two points below (./run bench quantizers). Rate
# and batches: docs/decisions/0006-joint-quality.md.
FINISH = Finish(epochs=8, batch_size=64, lr=0.2, weights="scratch", quantizer="lsq")


class Searched(NamedTuple):
    """A finished search, and what scores sub-networks of its supernet."""

    searcher: Searcher
    assessor: Assessor


class Tried(NamedTuple):
    """A network that is tried, its score, and the number of the supernet, or of the compression, that it is of."""

    architecture: Architecture
    score: float
    scored_by: int = 0


class Tuning(NamedTuple):
    """What every method is given: the training pictures of `data`, and a seed."""

    data: ImageData
    seed: int

    def searched(self, space: Space, budget: Budget, epochs: int) -> Searched:
        """A finished search."""
        settings = SEARCH.model_copy(update={"epochs": epochs})
        searcher = Searcher(space, data=self.data, budgets=[budget], settings=settings, seed=self.seed)
        for _ in searcher:
            pass
        return Searched(searcher, self.assessor(searcher))

    def assessor(self, searcher: Searcher) -> Assessor:
        """Of a finished search; who is scored after the draws is said by `ranked`."""
        return Assessor(
            searcher.supernet,
            held_out=searcher.theta_batches,
            samples=SEARCH.evidence_samples,
            propose=lambda _: (),
            most=FINALISTS,
            seed=self.seed,
        )

    def finalists(self, searched: Searched, task: Task, count: int = TRIED, number: int = 0) -> list[Tried]:
        """Those of a finished search, the one of this number, that are tried within one budget."""
        space, budgets = searched.searcher.space, [task.budget(searched.searcher.space)]
        found = ranked(searched.assessor, lambda scored: searched.searcher.finalists(FINALISTS, budgets, scored))
        tried = to_try(space, found, count)
        return [Tried(Architecture.from_indices(space, indices), found[indices], number) for indices in tried]

    def derived(self, tried: Sequence[Tried], searcher: Searcher) -> Architecture:
        """The best of all by their scores and trials, on pictures that no search trained weights on: `searcher` is one
        of them, and all hold out the same.
        """
        trials = Trials(
            [Finalist(one, partial(Network.new, one, self.seed), score, number) for one, score, number in tried],
            plan=[(len(tried), TRIAL_EPOCHS)],
            data=training_part(self.data, searcher.weight_batches),
            held_out=searcher.theta_batches,
            settings=FINISH,
            seed=self.seed,
        )
        for _ in trials:
            pass
        return trials.best().architecture

    def one_search(self, tasks: Sequence[Task], precisions: Sequence[str]) -> Iterator[Architecture]:
        """Over candidates, widths and those of `precisions` that the budget held leaves a need for."""
        whole = offering(precisions, WIDTHS)
        space = needed(whole, [middle(tasks).budget(whole)]).space
        searched = self.searched(space, middle(tasks).budget(space), EPOCHS)
        return (self.derived(self.finalists(searched, task), searched.searcher) for task in tasks)


def joint(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search for all."""
    return tuning.one_search(tasks, tasks[0].precisions)


def uniform_int8(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search with w8a8 everywhere."""
    return tuning.one_search(tasks, [INT8.name])


def uniform_width(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """One search a width factor."""
    factors = sorted({factor for task in tasks for factor in task.factors()})
    epochs = max(3, ceil(EPOCHS / len(factors)))
    searches = dict[float, Searched]()
    for factor in factors:
        whole = offering(tasks[0].precisions, [factor])
        held = middle([task for task in tasks if factor in task.factors()])
        space = needed(whole, [held.budget(whole)]).space
        searches[factor] = tuning.searched(space, held.budget(space), epochs)

    def best(task: Task) -> Architecture:
        own, each = [searches[factor] for factor in task.factors()], ceil(TRIED / len(task.factors()))
        tried = [one for number, found in enumerate(own) for one in tuning.finalists(found, task, each, number)]
        return tuning.derived(tried, own[0].searcher)

    return map(best, tasks)


def sequential(tasks: Sequence[Task], tuning: Tuning) -> Iterator[Architecture]:
    """Operators first, compression after."""
    space = offering([FLOAT.name], [1.0])
    searcher, assessor = tuning.searched(space, tasks[0].float_budget(space), EPOCHS)
    worth = searcher.supernet.theta.worth()

    def best(task: Task) -> Architecture:
        hows = task.compressions()
        each = ceil(TRIED / len(hows))
        tried = [one for number, how in enumerate(hows) for one in compressed(task, *how, number)[:each]]
        return tuning.derived(tried, searcher)

    def compressed(task: Task, precision: str, factor: float, number: int) -> list[Tried]:
        space = offering([precision], [factor])  # its choices stand in the order of the float32 ones

        def propose(scored: Matrix | None) -> list[Indices]:
            assert scored is not None, "SEARCH draws"
            return finalists(space, [worth, scored], [task.budget(space)], FINALISTS)

        found = ranked(assessor, propose)
        return [Tried(Architecture.from_indices(space, indices), score, number) for indices, score in found.items()]

    return map(best, tasks)


def ranked(assessor: Assessor, propose: Propose) -> dict[Indices, float]:
    """The finalists of `propose` with their score on the supernet, best first."""
    assessor.reopen(propose)
    for _ in assessor:
        pass
    return assessor.ranked()


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
