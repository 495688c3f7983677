"""Loops that torch has no fused operator for, compiled by numba: each reads its tensors once.

Arrays are C-contiguous float32, channels last: y_RC has a row for each pixel of each picture. Every kernel works on the
part of the rows, pictures or output channels it is given, so that threads share the work in a fixed order
(`search.kernels.parts`). Sums run in float32 within `ROWS` rows and in float64 beyond, so that neither precision nor
result depends on how large a batch is.

What is read stands before what is chosen by it: a load within a conditional is compiled to a branch, which pictures
predict badly, up to six times as slow where channels are fewer than a vector's lanes. `norm_act_backward` alone still
branches: without, its last bits are others.

A grid rounds to `top` steps of a size: `inverse` is 1 / size, `share` how much of the mixture it has. Grids come as
tuples: numba unrolls loops over them.
"""
# mypy: disable-error-code="no-untyped-def"

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ROWS = 256
FAST = {"contract", "nsz", "arcp", "reassoc"}  # infinities and NaN keep their meaning: they must show


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled at its first call, kept on disk where a folder can be written, and run without the GIL."""
    return _exact(function, fastmath=FAST)


def _exact(function: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """The same with every rounding as it is written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **more}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)  # type: ignore[no-any-return]


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_exact
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
def depthwise_weight_gradient(x_NHWC, g_NHWC, stride, out_KKC):
    """Adds the gradient of a depthwise weight (kernel, kernel, C), padded by half its kernel.

    What a place of a row reads lies in one piece, all columns of the kernel with all channels, and so do the sums of a
    row of the kernel: one loop over both, which needs the gradient of the place once for each column.
    """
    pictures, height, width, channels = x_NHWC.shape
    _, g_height, g_width, _ = g_NHWC.shape
    kernel = out_KKC.shape[0]
    edge = kernel // 2
    x_NHF = x_NHWC.reshape(pictures, height, width * channels)
    sums = np.zeros((kernel, kernel * channels), np.float32)
    repeated_WF = np.empty((g_width, kernel * channels), np.float32)
    for n in range(pictures):
        sums[:, :] = np.float32(0)
        for h in range(g_height):
            for w in range(g_width):
                g_C = g_NHWC[n, h, w]
                for j in range(kernel):
                    repeated_C = repeated_WF[w, j * channels : (j + 1) * channels]
                    for c in range(channels):
                        repeated_C[c] = g_C[c]
            for i in range(max(0, edge - h * stride), min(kernel, height + edge - h * stride)):
                for w in range(g_width):
                    left = w * stride - edge
                    first, last = max(0, -left) * channels, min(kernel, width - left) * channels
                    sum_F, g_F = sums[i, first:last], repeated_WF[w, first:last]
                    x_F = x_NHF[n, h * stride + i - edge, left * channels + first : left * channels + last]
                    for f in range(last - first):
                        sum_F[f] += g_F[f] * x_F[f]
        for i in range(kernel):
            for j in range(kernel):
                for c in range(channels):
                    out_KKC[i, j, c] += sums[i, j * channels + c]


@_compiled
def view_sizes(w_OM, starts_J, ends_J, tops_B, clips_B, out_JBO):
    """Size of a rounding step of row o within view j: the lesser of its greatest magnitude and `clip` root mean squares
    of what is not 0, over the `tops_B` of each grid.
    """
    for j in range(len(starts_J)):
        for o in range(w_OM.shape[0]):
            greatest, squares, count = np.float32(0), 0.0, 0
            for m in range(starts_J[j], ends_J[j]):
                w = w_OM[o, m]
                greatest = max(greatest, abs(w))
                squares += np.float64(w) * np.float64(w)
                count += 1 if w != np.float32(0) else 0
            rms = np.sqrt(squares / max(count, 1))
            for b in range(len(tops_B)):
                out_JBO[j, b, o] = min(np.float64(greatest), clips_B[b] * rms) / tops_B[b]


@_compiled
def step_rows(w_OM, size_O, top, out_OM):
    """out = size * clip(round(w / size), -top, top), a size for each row."""
    for o in range(w_OM.shape[0]):
        inverse = np.float32(1) / size_O[o]
        for m in range(w_OM.shape[1]):
            out_OM[o, m] = size_O[o] * max(min(np.rint(w_OM[o, m] * inverse), top), -top)


@_compiled
def step_rows_backward(w_OM, g_OM, size_O, top, w_grad_OM, size_grad_O):
    """The gradients of `step_rows` as LSQ has them (Esser 2020, eq. 3 and 5)."""
    for o in range(w_OM.shape[0]):
        inverse, dot = np.float32(1) / size_O[o], np.float32(0)
        for m in range(w_OM.shape[1]):
            v = w_OM[o, m] * inverse
            is_inside = -top < v < top
            w_grad_OM[o, m] = g_OM[o, m] if is_inside else np.float32(0)
            dot += g_OM[o, m] * (np.rint(v) - v if is_inside else max(min(v, top), -top))
        size_grad_O[o] = dot


@_compiled
def mix_views(w_OM, starts_J, ends_J, size_JBO, top_B, share_JB, kept_JS, levels_JOM, out_OM):
    """out[o, m] = sum over views j that hold m of kept[j, level] * (share[j, 0] * w + sum_b share[j, 1 + b] * Q_jb(w))
    with Q rounding to at most `top` steps of `size`. Without levels (no plane in `levels_JOM`) everything is kept.
    """
    grids, zero, one = size_JBO.shape[1], np.float32(0), np.float32(1)
    for o in range(w_OM.shape[0]):
        w_M, out_M = w_OM[o], out_OM[o]
        out_M[:] = zero
        row = np.empty(w_OM.shape[1], np.float32)
        for j in range(len(starts_J)):
            start, end = starts_J[j], ends_J[j]
            for m in range(start, end):
                row[m] = share_JB[j, 0] * w_M[m]
            for b in range(grids):
                size = size_JBO[j, b, o]
                inverse = one / size if size > zero else zero
                step, top = share_JB[j, 1 + b] * size, top_B[b]
                for m in range(start, end):
                    row[m] += step * max(min(np.rint(w_M[m] * inverse), top), -top)
            if levels_JOM.shape[0]:
                for m in range(start, end):
                    out_M[m] += kept_JS[j, levels_JOM[j, o, m]] * row[m]
            else:
                for m in range(start, end):
                    out_M[m] += row[m]


@_compiled
def mix_views_backward(
    w_OM, g_OM, starts_J, ends_J, size_JBO, top_B, share_JB, kept_JS, levels_JOM, w_grad_OM, share_grad_JB, kept_grad_JS
):
    """The gradients of `mix_views`, rounding passed straight through; adds to the last three."""
    grids, zero, one = size_JBO.shape[1], np.float32(0), np.float32(1)
    dense = levels_JOM.shape[0] == 0
    for o in range(w_OM.shape[0]):
        w_M, g_M = w_OM[o], g_OM[o]
        for j in range(len(starts_J)):
            start, end = starts_J[j], ends_J[j]
            kept_g = np.empty(end - start, np.float32)
            mixed = np.zeros(end - start, np.float32)
            for m in range(start, end):
                kept_g[m - start] = g_M[m] if dense else g_M[m] * kept_JS[j, levels_JOM[j, o, m]]
            whole = share_JB[j, 0]
            dot = zero
            for m in range(start, end):
                dot += kept_g[m - start] * w_M[m]
                mixed[m - start] = share_JB[j, 0] * w_M[m]
            share_grad_JB[j, 0] += dot
            for b in range(grids):
                size = size_JBO[j, b, o]
                inverse = one / size if size > zero else zero
                dot, top = zero, top_B[b]
                for m in range(start, end):
                    q = size * max(min(np.rint(w_M[m] * inverse), top), -top)
                    dot += kept_g[m - start] * q
                    mixed[m - start] += share_JB[j, 1 + b] * q
                share_grad_JB[j, 1 + b] += dot
                whole += share_JB[j, 1 + b]
            for m in range(start, end):
                w_grad_OM[o, m] += whole * kept_g[m - start]
            if not dense:
                for level in range(kept_JS.shape[1]):
                    dot = zero
                    for m in range(start, end):
                        dot += g_M[m] * mixed[m - start] if levels_JOM[j, o, m] == level else zero
                    kept_grad_JS[j, level] += dot
