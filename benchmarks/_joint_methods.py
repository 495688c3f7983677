"""Joint search and the three it is compared with: each from a task and a seed to one architecture.

All take the same number of search steps, EPOCHS over the pictures, or a little more:
  joint          candidate, width and precision in one search
  uniform_int8   candidate and width in one search, every layer w8a8
  uniform_width  candidate and precision, one width factor for the whole network: a search for each factor that can hold
                 the budget, EPOCHS shared among them; of their networks the one with the best score on the supernet
  sequential     half of EPOCHS: candidates in float32 at full width, as large as the plain network at full width; then
                 for each precision the widest factor that holds the budget, the best candidates by what was learnt,
                 trained from new weights for a share of the other half; the best on held-out pictures
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

import torch
from torch.nn import functional as F

from benchmarks._joint_task import FLOAT, INT8, WIDTHS, Task, offering
from benchmarks.truth import pictures
from search.architecture import Architecture
from search.batches import evaluation, split_for_search
from search.budget import Budget
from search.contributions import Assessor
from search.datasets import ImageData
from search.derive import solve_best
from search.finish import Trainer
from search.network import Network
from search.randomness import seeded
from search.searcher import Searcher
from search.space import Space
from search.spec import Finish, Search

EPOCHS = 6
FINALISTS = 16
SEARCH = Search(epochs=EPOCHS, warmup_epochs=1, batch_size=64)
FINISH = Finish(epochs=3, batch_size=64, lr=0.1, weights="scratch")


def searched(space: Space, budget: Budget, epochs: int, seed: int) -> Searcher:
    """A finished search."""
    settings = SEARCH.model_copy(update={"epochs": epochs})
    searcher = Searcher(space, data=pictures(), budgets=[budget], settings=settings, seed=seed)
    for _ in searcher:
        pass
    return searcher


def best_of(searcher: Searcher, finalists: Sequence[tuple[int, ...]], seed: int) -> tuple[tuple[int, ...], float]:
    """The finalist with the best score on the supernet, and that score."""
    batches = searcher.theta_batches
    assessor = Assessor(searcher.supernet, held_out=batches, finalists=finalists, samples=0, seed=seed)
    for _ in assessor:
        pass
    return assessor.best(), max(assessor.finalist_scores)


def derived(space: Space, task: Task, epochs: int, seed: int) -> tuple[Architecture, float]:
    """What one search derives, and its score."""
    searcher = searched(space, task.budget(space), epochs, seed)
    indices, score = best_of(searcher, searcher.finalists(FINALISTS), seed)
    return Architecture.from_indices(space, indices), score


def joint(task: Task, seed: int) -> Architecture:
    """One search for all."""
    return derived(offering(task.precisions, WIDTHS), task, EPOCHS, seed)[0]


def uniform_int8(task: Task, seed: int) -> Architecture:
    """One search with w8a8 everywhere."""
    return derived(offering([INT8.name], WIDTHS), task, EPOCHS, seed)[0]


def uniform_width(task: Task, seed: int) -> Architecture:
    """One search a width factor."""
    factors = task.factors()
    epochs = max(2, ceil(EPOCHS / len(factors)))
    found = [derived(offering(task.precisions, [factor]), task, epochs, seed) for factor in factors]
    return max(found, key=lambda pair: pair[1])[0]


def sequential(task: Task, seed: int) -> Architecture:
    """Operators first, compression after."""
    space = offering([FLOAT.name], [1.0])
    searcher = searched(space, task.float_budget(space), EPOCHS // 2, seed)
    worth = searcher.supernet.theta.worth()
    compressions = task.compressions()
    epochs = max(1, round((EPOCHS - EPOCHS // 2) / len(compressions)))
    found = []
    for precision, factor in compressions:
        compressed = offering([precision], [factor])  # its choices stand in the order of the float32 ones
        finalists = solve_best(worth, [task.budget(compressed)], FINALISTS)
        indices, _ = best_of(searcher, finalists, seed)
        architecture = Architecture.from_indices(compressed, indices)
        found.append((architecture, tried(architecture, epochs, seed)))
    return max(found, key=lambda pair: pair[1])[0]


def tried(architecture: Architecture, epochs: int, seed: int) -> float:
    """Negative cross-entropy on held-out pictures behind a short training on the others."""
    data, settings = pictures(), SEARCH
    weights, held_out = split_for_search(
        data, examples=None, theta_share=settings.theta_share, batch_size=settings.batch_size, seed=seed
    )
    part = replace(data, x_train=weights.x_NCHW.numpy(), y_train=weights.y_N.numpy())
    trainer = trained(architecture, part, FINISH.model_copy(update={"epochs": epochs}), seed)
    with torch.inference_mode():
        logits = torch.cat([trainer.network(x_NCHW) for x_NCHW in evaluation(held_out.x_NCHW)])
    return -float(F.cross_entropy(logits, held_out.y_N))


def trained(architecture: Architecture, data: ImageData, settings: Finish, seed: int) -> Trainer:
    """A settled training from new weights."""
    with seeded(seed, "joint weights"):
        network = Network(architecture)
    trainer = Trainer(network, data=data, settings=settings, seed=seed)
    for _ in trainer:
        pass
    trainer.settle()
    return trainer


METHODS: dict[str, Callable[[Task, int], Architecture]] = {
    "joint": joint,
    "uniform_int8": uniform_int8,
    "uniform_width": uniform_width,
    "sequential": sequential,
}
