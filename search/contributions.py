"""What each choice contributes to the scores of sub-networks: evidence that no device is part of.

A ridge regression shares the scores among the choices that had a part in them (by differences: BINAS, sec. 3.3;
HardCoRe-NAS, sec. 3.2).
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from search.axes import Axes

RIDGE = 0.3  # of a draw for each option: what was seen seldom says little
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


def contributed(axes: Axes, weights_F: np.ndarray) -> list[list[float]]:
    """Of each choice of each layer, its features times their weights: what an axis that does not apply contributes is
    in the block's own.
    """
    layers = zip(axes.space.layers, axes.index_LKPS, np.split(weights_F, len(axes.space.layers)), strict=True)
    return [
        [float(_of_choice(axes, index_KPS, number) @ weights) for number in range(len(layer.choices))]
        for layer, index_KPS, weights in layers
    ]


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
    if len(scores_S) < FEWEST:
        return None
    predicted = np.empty_like(scores_S)
    for fold in range(FOLDS):
        out = np.arange(len(scores_S)) % FOLDS == fold
        predicted[out] = features_SF[out] @ ridge(features_SF[~out], scores_S[~out])
    correlation = float(stats.spearmanr(predicted, scores_S).statistic)
    return correlation if np.isfinite(correlation) else None
