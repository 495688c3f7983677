"""Rounding of what has a sign, forward and backward: see `search.kernels.compiling`."""
# mypy: disable-error-code="no-untyped-def"

import numpy as np

from search.kernels.compiling import ROWS, compiled


@compiled
def round_signed_step_dot(x_RC, g_RC, inverse, bottom, top):
    """`norm_act_step_dot` without a norm in front, on a grid from `bottom`."""
    rows, channels = x_RC.shape
    sums = np.zeros(channels, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        sums[:] = np.float32(0)
        for r in range(start, min(start + ROWS, rows)):
            x_C, g_C = x_RC[r], g_RC[r]
            for c in range(channels):
                g, v = g_C[c], x_C[c] * inverse
                moved, clipped = np.rint(v) - v, max(min(v, top), bottom)
                sums[c] += g * (moved if (bottom < v) & (v < top) else clipped)
        for c in range(channels):
            total += sums[c]
    return total


@compiled
def round_signed(x_RC, float_share, inverse, step, bottom, top, out_RC):
    """out = float_share * x + sum_a step_a * clip(round(x * inverse_a), bottom_a, top_a). Gives the sum of x^2."""
    rows, channels = x_RC.shape
    squares = np.zeros(channels, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        squares[:] = np.float32(0)
        for r in range(start, min(start + ROWS, rows)):
            x_C, out_C = x_RC[r], out_RC[r]
            for c in range(channels):
                squares[c] += x_C[c] * x_C[c]
                mixed = float_share * x_C[c]
                for a in range(len(inverse)):
                    mixed += step[a] * max(min(np.rint(x_C[c] * inverse[a]), top[a]), bottom[a])
                out_C[c] = mixed
        for c in range(channels):
            total += squares[c]
    return total


@compiled
def round_signed_backward(x_RC, g_RC, float_share, share, least, limit, inverse, bottom, top, out_RC, out_A):
    """out = g * (float_share + sum_a share_a [least_a < x < limit_a]); adds sum(g * x) to out_A[0] and sum(g *
    clip(round(x * inverse_a), bottom_a, top_a)) to out_A[1 + a].
    """
    rows, channels = x_RC.shape
    zero, grids = np.float32(0), len(inverse)
    dots = np.zeros((grids + 1, channels), np.float32)
    for start in range(0, rows, ROWS):
        dots[:, :] = zero
        for r in range(start, min(start + ROWS, rows)):
            x_C, g_C, out_C = x_RC[r], g_RC[r], out_RC[r]
            for c in range(channels):
                x, g, passed = x_C[c], g_C[c], float_share
                dots[0, c] += g * x
                for a in range(grids):
                    passed += share[a] if (least[a] < x) & (x < limit[a]) else zero
                    dots[1 + a, c] += g * max(min(np.rint(x * inverse[a]), top[a]), bottom[a])
                out_C[c] = g * passed
        for a in range(grids + 1):
            for c in range(channels):
                out_A[a] += dots[a, c]
