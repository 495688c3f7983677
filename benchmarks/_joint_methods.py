"""Joint search and the three it is compared with: each from the budgets of one metric to a network for each of them.

A search serves all its budgets: it holds the middle one, and derives within the others from what it learnt. For each
budget TRIED finalists go on from the weights of their search for an epoch, the better half of them for two, and the
best on held-out pictures is derived; the best of a tighter budget, where that did better: it holds the wider one too.
Every method has as many epochs of search and of trials as joint search, or more:
  joint          candidate, width and precision in one search of EPOCHS
  uniform_int8   candidate and width in one search of EPOCHS, every layer w8a8
  uniform_width  candidate and precision, one width factor for the whole network: a search for each factor that can hold
                 a budget, EPOCHS shared among them, and so the trials
  sequential     half of EPOCHS: candidates in float32 at full width, as large as the plain network at full width; then
                 for each budget and precision the widest factor that holds it, the best candidates by what was learnt,
                 the strongest channels of the float weights, trained for a share of the other half and of the epochs
                 that others try finalists in; the best on held-out pictures
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import torch
from torch.nn import functional as F

from benchmarks._joint_task import FLOAT, INT8, WIDTHS, Task, offering
from benchmarks.truth import pictures
from search.batches import Batches, evaluation, split_for_search, training_part
from search.budget import Budget, Indices
from search.contributions import Assessor
from search.datasets import ImageData
from search.derive import solve_best
from search.finalists import to_try
from search.finish import Trainer
from search.network import Network
from search.randomness import seeded
from search.searcher import Searcher
from search.space import Space
from search.spec import Finish, Search
from search.spec import Trials as TrialSettings
from search.supernet import Supernet
from search.supernet.pretrained import load_pretrained
from search.trials import Finalist, Trials

PICTURES = 24_000
EPOCHS = 4
FINALISTS = 32
TRIED = 4
PLAN = TrialSettings(finalists=TRIED, epochs=1, rounds=2).plan(TRIED)
SEARCH = Search(epochs=EPOCHS, warmup_epochs=1, batch_size=64)
# From new weights (`anew`). Behind 12 epochs from those of a search, a network of one width, whose supernet had trained
# little else, had 85.4 % and one of the joint space 84.3; behind 36 from new ones 84.4 and 86.1 (MPIC at 0.35, seed 0).
# Statistics instead of learnt steps leave 2 bits two points below (./run bench quantizers).
FINISH = Finish(epochs=8, batch_size=64, lr=0.1, weights="scratch", quantizer="lsq")


class Scored(NamedTuple):
    """A network with the weights it starts from, and what it was thought worth: negative cross-entropy."""

    network: Network
    score: float


def searched(space: Space, budget: Budget, epochs: int, seed: int) -> Searcher:
    """A finished search."""
    settings = SEARCH.model_copy(update={"epochs": epochs})
    searcher = Searcher(space, data=pictures(PICTURES), budgets=[budget], settings=settings, seed=seed)
    for _ in searcher:
        pass
    return searcher


def ranked(searcher: Searcher, finalists: Sequence[Indices], seed: int) -> list[Indices]:
    """The finalists by their score on the supernet, best first."""
    assessor = Assessor(searcher.supernet, held_out=searcher.theta_batches, finalists=finalists, samples=0, seed=seed)
    for _ in assessor:
        pass
    return assessor.ranked()


def finalists(searcher: Searcher, task: Task, seed: int, count: int = TRIED) -> list[Finalist]:
    """Those of a finished search that are tried within one budget."""
    found = ranked(searcher, searcher.finalists(FINALISTS, [task.budget(searcher.space)]), seed)
    return [Finalist(searcher.supernet, indices) for indices in to_try(searcher.space, found, count)]


def derived(finalists: Sequence[Finalist], seed: int) -> Scored:
    """The best of all behind their trials, on pictures that none of their searches trained weights on."""
    train, held_out = parts(seed)
    (_, first), *later = PLAN
    plan = [(len(finalists), first), *((min(count, len(finalists)), epochs) for count, epochs in later)]
    trials = Trials(finalists, plan=plan, data=train, held_out=held_out, settings=FINISH, seed=seed)
    for _ in trials:
        pass
    supernet, indices = trials.best()
    return Scored(supernet.inherit(indices), max(trials.scores[-1]))


def best_of(found: Iterable[Scored]) -> Scored:
    """The one of most score; of equals the first."""
    return max(found, key=lambda one: one.score)


def best_until(found: Iterable[Scored]) -> Iterator[Network]:
    """For each budget, tightest first, the best of those found for it and for tighter ones."""
    return (one.network for one in accumulate(found, lambda best, one: best_of((best, one))))


def middle(tasks: Sequence[Task]) -> Task:
    """The task whose budget a search holds for all."""
    return tasks[(len(tasks) - 1) // 2]


def joint(tasks: Sequence[Task], seed: int) -> Iterator[Network]:
    """One search for all."""
    return one_search(tasks, tasks[0].precisions, seed)


def uniform_int8(tasks: Sequence[Task], seed: int) -> Iterator[Network]:
    """One search with w8a8 everywhere."""
    return one_search(tasks, [INT8.name], seed)


def one_search(tasks: Sequence[Task], precisions: Sequence[str], seed: int) -> Iterator[Network]:
    """Over candidates, widths and `precisions`."""
    space = offering(precisions, WIDTHS)
    searcher = searched(space, middle(tasks).budget(space), EPOCHS, seed)
    return best_until(derived(finalists(searcher, task, seed), seed) for task in tasks)


def uniform_width(tasks: Sequence[Task], seed: int) -> Iterator[Network]:
    """One search a width factor."""
    factors = sorted({factor for task in tasks for factor in task.factors()})
    epochs = max(2, ceil(EPOCHS / len(factors)))
    searchers = {}
    for factor in factors:
        space = offering(tasks[0].precisions, [factor])
        held = middle([task for task in tasks if factor in task.factors()])
        searchers[factor] = searched(space, held.budget(space), epochs, seed)

    def best(task: Task) -> Scored:
        each = ceil(TRIED / len(task.factors()))
        found = (finalists(searchers[factor], task, seed, each) for factor in task.factors())
        return derived([candidate for own in found for candidate in own], seed)

    return best_until(map(best, tasks))


def sequential(tasks: Sequence[Task], seed: int) -> Iterator[Network]:
    """Operators first, compression after."""
    space = offering([FLOAT.name], [1.0])
    searcher = searched(space, tasks[0].float_budget(space), EPOCHS // 2, seed)
    worth = searcher.supernet.theta.worth()

    def best(task: Task) -> Scored:
        trials = sum(count * epochs for count, epochs in PLAN)
        epochs = max(1, round((EPOCHS - EPOCHS // 2 + trials) / len(task.compressions())))
        return best_of(compressed(task, *how, epochs) for how in task.compressions())

    def compressed(task: Task, precision: str, factor: float, epochs: int) -> Scored:
        space = offering([precision], [factor])  # its choices stand in the order of the float32 ones
        indices = ranked(searcher, solve_best(worth, [task.budget(space)], FINALISTS), seed)[0]
        return tried(narrowed(searcher.supernet, precision, factor, indices), epochs, seed)

    return best_until(map(best, tasks))


def narrowed(wide: Supernet, precision: str, factor: float, indices: Sequence[int]) -> Network:
    """The candidates `indices` of a float supernet at full width, in `precision` and at one width factor, with the
    channels that carry most.
    """
    space = offering([precision], sorted({1.0, factor}))
    supernet = Supernet(space)
    load_pretrained(supernet, wide.state_dict())
    with torch.no_grad():
        for tensor, dimension, order in supernet.sort_widths():
            tensor.copy_(tensor.index_select(dimension, order))
    compressed = offering([precision], [factor])
    own = [
        layer.choices.index(narrow.choices[index])
        for layer, narrow, index in zip(space.layers, compressed.layers, indices, strict=True)
    ]
    return supernet.inherit(own)


def tried(network: Network, epochs: int, seed: int) -> Scored:
    """Trained on the search's part of the pictures, scored on those held out."""
    part, held_out = parts(seed)
    trained(network, part, FINISH.model_copy(update={"epochs": epochs}), seed)
    with torch.inference_mode():
        logits = torch.cat([network(x_NCHW) for x_NCHW in evaluation(held_out.x_NCHW)])
    return Scored(network, -float(F.cross_entropy(logits, held_out.y_N)))


@lru_cache(maxsize=1)
def parts(seed: int) -> tuple[ImageData, Batches]:
    """What every search of a seed trains weights on, and what it holds out."""
    data, settings = pictures(PICTURES), SEARCH
    weights, held_out = split_for_search(
        data, examples=None, theta_share=settings.theta_share, batch_size=settings.batch_size, seed=seed
    )
    return training_part(data, weights), held_out


def anew(network: Network, seed: int) -> Network:
    """The same architecture with new weights."""
    with seeded(seed, "scratch"):
        return Network(network.architecture)


def trained(network: Network, data: ImageData, settings: Finish, seed: int) -> None:
    """Trains a network and settles it."""
    trainer = Trainer(network, data=data, settings=settings, seed=seed)
    for _ in trainer:
        pass
    trainer.settle()


METHODS: dict[str, Callable[[Sequence[Task], int], Iterator[Network]]] = {
    "joint": joint,
    "uniform_int8": uniform_int8,
    "uniform_width": uniform_width,
    "sequential": sequential,
}
