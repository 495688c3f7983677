"""What each choice contributes to the scores of sub-networks: evidence that no device is part of.

A regression shares the scores among the choices that had a part in them (by differences: BINAS, sec. 3.3; HardCoRe-NAS,
sec. 3.2). Blocks of like width and kernel are expected to contribute alike, so what was seen of one says something of
its neighbours: a ridge regression whose weights have that prior covariance, which is a Gaussian process over
architectures, additive over layers (Rasmussen 2006, sec. 2.1).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from search.axes import Axes
from search.choices import Block

NOISE = 1.0  # of a score, over what one option contributes: what was seen seldom says little
ALIKE_WITHIN = 2.0  # blocks whose widths are a factor of e^2 apart are alike by 1/e,
ALIKE_BESIDE = 0.5  # those of another kernel or other groups by half of that
FOLDS = 8
FEWEST = 2 * FOLDS  # scores that say something of choices


def features(axes: Axes, indices: Sequence[int]) -> np.ndarray:
    """1 for each option that an architecture takes, layer by layer and axis by axis; 0 where an axis does not apply."""
    return np.concatenate(
        [_of_choice(axes, places, index) for index, places in zip(indices, axes.index_LKPS, strict=True)]
    )


def _of_choice(axes: Axes, index_KPS: np.ndarray, index: int) -> np.ndarray:
    """The features of one layer that takes choice `index`."""
    where, row = np.stack((index_KPS == index).nonzero(), 1), []
    for axis, size in enumerate(axes.sizes):
        found = set(where[:, axis])
        one = next(iter(found)) if len(found) == 1 else None
        row += [float(option == one) for option in range(size)]
    return np.array(row)


def likeness(axes: Axes) -> np.ndarray:
    """How alike options are expected to contribute, (F, F): the prior covariance of their weights. Those of two
    layers or two categoricals are independent, and so are precisions and levels.
    """
    found = np.eye(len(axes.space.layers) * sum(axes.sizes))
    for layer in axes.space.layers:
        first = layer.number * sum(axes.sizes)
        for row, one in enumerate(layer.blocks):
            for column, other in enumerate(layer.blocks):
                found[first + row, first + column] = _alike(one, other)
    return found


def _alike(one: Block, other: Block) -> float:
    if not (one.candidate.kernel and other.candidate.kernel):  # skip is like itself alone
        return float(one == other)
    beside = (one.candidate.kernel != other.candidate.kernel) + (one.candidate.groups != other.candidate.groups)
    apart = abs(math.log(one.c_mid / other.c_mid))
    return math.exp(-apart / ALIKE_WITHIN) * ALIKE_BESIDE**beside


def contributed(axes: Axes, weights_F: np.ndarray) -> list[list[float]]:
    """Of each choice of each layer, its features times their weights: what an axis that does not apply contributes is
    in the block's own.
    """
    layers = zip(axes.space.layers, axes.index_LKPS, np.split(weights_F, len(axes.space.layers)), strict=True)
    return [
        [float(_of_choice(axes, index_KPS, number) @ weights) for number in range(len(layer.choices))]
        for layer, index_KPS, weights in layers
    ]


def regression(features_SF: np.ndarray, scores_S: np.ndarray, likeness_FF: np.ndarray) -> np.ndarray:
    """The weights (F,) that argmin |features w + mean - scores|^2 / NOISE + w likeness^-1 w."""
    root_FF = np.linalg.cholesky(likeness_FF)  # w = root v, and v is a plain ridge regression's
    rooted_SF = features_SF @ root_FF
    gram_FF = rooted_SF.T @ rooted_SF + NOISE * np.eye(len(root_FF))
    found: np.ndarray = root_FF @ np.linalg.solve(gram_FF, rooted_SF.T @ (scores_S - scores_S.mean()))
    return found


def slope(predicted_S: np.ndarray, scores_S: np.ndarray) -> float:
    """Least-squares slope of the scores over a prediction of them; 0 where that does not vary."""
    centred = predicted_S - predicted_S.mean()
    variance = float(centred @ centred)
    return float(centred @ scores_S) / variance if variance > 0 else 0.0


def joined(
    features_SF: np.ndarray, scores_S: np.ndarray, likeness_FF: np.ndarray, predicted_S: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """The weights (F,) of the regression, and the factor of another prediction, in the unit of the scores: their mean.
    Without another, 0.
    """
    weights_F = regression(features_SF, scores_S, likeness_FF)
    if predicted_S is None:
        return weights_F, 0.0
    return weights_F / 2, max(0.0, slope(predicted_S, scores_S)) / 2


def held_out_correlation(
    features_SF: np.ndarray, scores_S: np.ndarray, likeness_FF: np.ndarray, predicted_S: np.ndarray | None
) -> float | None:
    """Spearman's rank correlation of scores with what is `joined` from the others; None for too few. Two neighbours,
    which are drawn in two ways, share a fold.
    """
    if len(scores_S) < FEWEST:
        return None
    found, other_S = np.empty_like(scores_S), np.zeros_like(scores_S) if predicted_S is None else predicted_S
    for fold in range(FOLDS):
        out = np.arange(len(scores_S)) // 2 % FOLDS == fold
        given = None if predicted_S is None else predicted_S[~out]
        weights_F, factor = joined(features_SF[~out], scores_S[~out], likeness_FF, given)
        found[out] = scores_S[~out].mean() + features_SF[out] @ weights_F
        found[out] += factor * (other_S[out] - other_S[~out].mean())
    correlation = float(stats.spearmanr(found, scores_S).statistic)
    return correlation if np.isfinite(correlation) else None
