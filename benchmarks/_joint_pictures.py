"""Pictures of two garments, one drawn over the other: which two is asked, of 45 pairs.

As MultiMNIST overlays digits (Sabour 2017, "Dynamic Routing Between Capsules", sec. 6). Ten garments alone are told
apart by networks of a sixth of the space nearly as well as by the greatest, and where accuracy saturates it does not
matter how a network is found (docs/decisions/0006-joint-quality.md).
"""

from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.truth import others, pictures
from search.datasets import ImageData

GARMENTS = 10
PAIRS = GARMENTS * (GARMENTS - 1) // 2
TESTED = 46_000


@cache
def pairs(count: int) -> ImageData:
    """`count` fixed training pictures of two garments, and TESTED of garments that are in no training picture. A search
    holds out pictures, not garments: most of those stand in other training pictures too, for every method alike.
    """
    data, left = pictures(count), others(count)
    x_train, y_train = overlaid(data.x_train, data.y_train, count, seed=1)
    x_test, y_test = overlaid(left.x_test, left.y_test, TESTED, seed=2)
    return replace(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, classes=PAIRS)


def untested(data: ImageData) -> ImageData:
    """The same without its test pictures, for who may not see them: one training picture stands in their place."""
    return replace(data, x_test=data.x_train[:1], y_test=data.y_train[:1])


def overlaid(x_NCHW: np.ndarray, y_N: np.ndarray, count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures of two of the given ones of different classes: the lighter pixel of both. The pairs (a, b),
    a < b, are numbered in order.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    one, other = rng.integers(len(y_N), size=(2, count))
    while (same := y_N[one] == y_N[other]).any():
        other[same] = rng.integers(len(y_N), size=int(same.sum()))
    a, b = np.sort(np.stack((y_N[one], y_N[other])).astype(np.int64), axis=0)
    number = a * (2 * GARMENTS - 1 - a) // 2 + b - a - 1
    return np.maximum(x_NCHW[one], x_NCHW[other]), number.astype(y_N.dtype)
