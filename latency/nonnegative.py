"""Least squares without negative costs."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def solve_nonnegative(h: Matrix, g: Vector) -> Vector:
    """The x >= 0 with the least x'hx/2 - g'x, `h` positive definite, by block principal pivoting.

    (Kim and Park 2011, algorithm 1.) All that are on the wrong side change sides at once, or, where that goes round in
    circles, the last of them alone.
    """
    free = np.ones(len(g), dtype=bool)
    fewest, tries = len(g) + 1, 3
    while True:
        x = np.zeros(len(g))
        x[free] = np.linalg.solve(h[np.ix_(free, free)], g[free])
        wrong = np.where(free, x, h @ x - g) < -1e-12
        if not wrong.any():
            return np.asarray(np.maximum(x, 0.0))
        if wrong.sum() < fewest:
            fewest, tries = int(wrong.sum()), 3
        elif tries:
            tries -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
