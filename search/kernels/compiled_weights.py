"""Mixtures of rounded weights, and the gradient of depthwise ones: see `search.kernels.compiling`."""
# mypy: disable-error-code="no-untyped-def"

import numpy as np

from search.kernels.compiling import compiled


@compiled
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


@compiled
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


@compiled
def step_rows(w_OM, size_O, top, out_OM):
    """out = size * clip(round(w / size), -top, top), a size for each row."""
    for o in range(w_OM.shape[0]):
        inverse = np.float32(1) / size_O[o]
        for m in range(w_OM.shape[1]):
            out_OM[o, m] = size_O[o] * max(min(np.rint(w_OM[o, m] * inverse), top), -top)


@compiled
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


@compiled
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


@compiled
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
