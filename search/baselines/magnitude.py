"""Global pruning of the network that the search found (Han 2015; ShrinkBench: Blalock 2020, sec. 6): weights of all
layers compared, by magnitude or by |w dL/dw|.

A layer can only have the levels that the space offers. So its level is not cut off a global order, but that order's
own objective is solved: the least sum of scores that goes, exactly, within the budgets. Within a layer weights go row
by row, as blocks ship them.
"""

import torch
from torch import Tensor

from search.baselines.near import best_near
from search.baselines.offered import worth_of_free, zeros
from search.baselines.setting import Setting
from search.batches import calibration, pixels
from search.blocks import MobileBlock
from search.choices import Choice, Level
from search.compression.magnitude import Scores, scores
from search.network import Network, recalibrate
from search.randomness import permutation
from search.sensitivity import MASKED
from search.space import Layer
from search.sparsity import survivors

PICTURES = 512


def by_magnitude(setting: Setting) -> Network:
    """Scores |w|."""
    return _start(setting, scores(setting.floats(setting.indices)))


def by_gradient(setting: Setting) -> Network:
    """Scores |w dL/dw| on some training pictures; they also tell which weights of a row go."""
    data, network = setting.data, setting.floats(setting.indices)
    chosen = permutation(len(data.y_train), setting.seed, "magnitude-gradient")[:PICTURES].numpy()
    x_NCHW, y_N = torch.tensor(data.x_train[chosen]), torch.tensor(data.y_train[chosen])
    recalibrate(network, calibration(x_NCHW))
    found = scores(network, "gradient", loss=lambda model: setting.task.loss(model(pixels(x_NCHW)), y_N))
    pruned = _start(setting, found)
    for number, block in enumerate(pruned.layers):
        if isinstance(block, MobileBlock) and block.level.sparsity:
            of_block = [found[f"layers.{number}.{name}"] for name in MASKED]
            for (_, mask_OM), score in zip(block.masked_weights(), of_block, strict=True):
                mask_OM.copy_(survivors(score.flatten(1), block.level))
    return pruned


def _start(setting: Setting, found: Scores) -> Network:
    space = setting.learnt.evidence.space
    worth_LK = worth_of_free(space, setting.indices, zeros, lambda layer, choice: -gone(found, layer, choice))
    return setting.learnt.start(best_near(worth_LK, setting.budgets).indices, setting.seed)


def gone(found: Scores, layer: Layer, choice: Choice) -> float:
    """The sum of scores that a choice's zeros take away."""
    if not choice.level.sparsity:
        return 0.0
    return sum(_lost(found[f"layers.{layer.number}.{name}"].flatten(1), choice.level) for name in MASKED)


def _lost(score_OM: Tensor, level: Level) -> float:
    return score_OM[~survivors(score_OM, level)].double().sum().item()
