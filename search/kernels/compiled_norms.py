"""BatchNorm, ReLU and rounding in one loop, forward and backward: see `search.kernels.compiling`."""
# mypy: disable-error-code="no-untyped-def"

import numpy as np

from search.kernels.compiling import ROWS, compiled, exact


@compiled
def norm_relu_forward(y_RC, scale_C, shift_C, out_RC):
    """`norm_act_forward` without grids, in half the time: max(scale * y + shift, 0). Gives the sum of its squares."""
    rows, channels = y_RC.shape
    zero = np.float32(0)
    squares = np.zeros(channels, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        squares[:] = zero
        for r in range(start, min(start + ROWS, rows)):
            y_C, out_C = y_RC[r], out_RC[r]
            for c in range(channels):
                n = max(y_C[c] * scale_C[c] + shift_C[c], zero)
                squares[c] += n * n
                out_C[c] = n
        for c in range(channels):
            total += squares[c]
    return total


@compiled
def norm_act_forward(y_RC, scale_C, shift_C, float_share, inverse, step, top, out_RC):
    """n = max(scale * y + shift, 0); out = float_share * n + sum_a step_a * min(round(n * inverse_a), top_a), step =
    share * size. Gives the sum of n^2.
    """
    rows, channels = y_RC.shape
    zero = np.float32(0)
    squares = np.zeros(channels, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        squares[:] = zero
        for r in range(start, min(start + ROWS, rows)):
            y_C, out_C = y_RC[r], out_RC[r]
            for c in range(channels):
                n = max(y_C[c] * scale_C[c] + shift_C[c], zero)
                squares[c] += n * n
                mixed = float_share * n
                for a in range(len(inverse)):
                    mixed += step[a] * min(np.rint(n * inverse[a]), top[a])
                out_C[c] = mixed
        for c in range(channels):
            total += squares[c]
    return total


@compiled
def norm_act_sums(y_RC, g_RC, scale_C, shift_C, float_share, share, limit, sum_C, product_C):
    """Adds sum(k) and sum(k * y) over rows, where k = g * (float_share + sum_a share_a [n < limit_a]) [n > 0]."""
    rows, channels = y_RC.shape
    zero = np.float32(0)
    sums, products = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for start in range(0, rows, ROWS):
        sums[:] = zero
        products[:] = zero
        for r in range(start, min(start + ROWS, rows)):
            y_C, g_C = y_RC[r], g_RC[r]
            for c in range(channels):
                y, g = y_C[c], g_C[c]
                n = y * scale_C[c] + shift_C[c]
                passed = float_share
                for a in range(len(share)):
                    passed += share[a] if n < limit[a] else zero
                k = g * passed
                k = k if n > zero else zero
                sums[c] += k
                products[c] += k * y
        for c in range(channels):
            sum_C[c] += sums[c]
            product_C[c] += products[c]


@compiled
def norm_act_backward(y_RC, g_RC, scale_C, shift_C, float_share, share, limit, by_k_C, by_y_C, constant_C, out_RC):
    """out = by_k * k + by_y * y + constant, with k as in `norm_act_sums`."""
    rows, channels = y_RC.shape
    zero = np.float32(0)
    for r in range(rows):
        y_C, g_C, out_C = y_RC[r], g_RC[r], out_RC[r]
        for c in range(channels):
            n = y_C[c] * scale_C[c] + shift_C[c]
            passed = float_share
            for a in range(len(share)):
                passed += share[a] if n < limit[a] else zero
            k = g_C[c] * passed if n > zero else zero
            out_C[c] = by_k_C[c] * k + by_y_C[c] * y_C[c] + constant_C[c]


@exact
def norm_factors(sum_C, product_C, mean_C, inverse_std_C, weight_C, count, batch_statistics, factors_FC, gradients_GC):
    """From sum(k) and sum(k * y) over `count` rows: what `norm_act_backward` takes, by_k, by_y and constant; and the
    gradients of the BatchNorm's weight and bias. In float64, with torch's roundings.
    """
    for c in range(len(sum_C)):
        mean, inverse_std = np.float64(mean_C[c]), np.float64(inverse_std_C[c])
        by_norm = inverse_std * (product_C[c] - mean * sum_C[c])  # sum of k * (y - mean) / std
        by_k, by_y, constant = np.float64(weight_C[c]) * inverse_std, 0.0, 0.0
        if batch_statistics:
            by_y = -by_k * inverse_std * by_norm / count
            constant = -by_k * sum_C[c] / count - by_y * mean
        factors_FC[0, c], factors_FC[1, c], factors_FC[2, c] = by_k, by_y, constant
        gradients_GC[0, c], gradients_GC[1, c] = by_norm, sum_C[c]


@compiled
def norm_act_sums_and_dots(
    y_RC, g_RC, scale_C, shift_C, float_share, share, limit, inverse, top, sum_C, product_C, out_A
):
    """`norm_act_sums`, and adds sum(g * n) to out[0] and sum(g * min(round(n * inverse_a), top_a)) to out[1 + a]."""
    rows, channels = y_RC.shape
    zero, grids = np.float32(0), len(inverse)
    sums, products = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    dots = np.zeros((grids + 1, channels), np.float32)
    for start in range(0, rows, ROWS):
        sums[:] = zero
        products[:] = zero
        dots[:, :] = zero
        for r in range(start, min(start + ROWS, rows)):
            y_C, g_C = y_RC[r], g_RC[r]
            for c in range(channels):
                y, g = y_C[c], g_C[c]
                n = max(y * scale_C[c] + shift_C[c], zero)
                passed = float_share
                dots[0, c] += g * n
                for a in range(grids):
                    passed += share[a] if n < limit[a] else zero
                    dots[1 + a, c] += g * min(np.rint(n * inverse[a]), top[a])
                k = g * passed
                k = k if n > zero else zero
                sums[c] += k
                products[c] += k * y
        for c in range(channels):
            sum_C[c] += sums[c]
            product_C[c] += products[c]
            for a in range(grids + 1):
                out_A[a] += dots[a, c]


@compiled
def norm_act_step_dot(y_RC, g_RC, scale_C, shift_C, inverse, top, within):
    """sum(g * s) where s is how a value on the grid moves with the size of a step: within * (round(v) - v) below `top`,
    else top, with v = max(scale * y + shift, 0) * inverse.
    """
    rows, channels = y_RC.shape
    zero = np.float32(0)
    sums = np.zeros(channels, np.float32)
    total = 0.0
    for start in range(0, rows, ROWS):
        sums[:] = zero
        for r in range(start, min(start + ROWS, rows)):
            y_C, g_C = y_RC[r], g_RC[r]
            for c in range(channels):
                g, v = g_C[c], max(y_C[c] * scale_C[c] + shift_C[c], zero) * inverse
                moved = within * (np.rint(v) - v)
                sums[c] += g * (moved if v < top else top)
        for c in range(channels):
            total += sums[c]
    return total
