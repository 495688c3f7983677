"""The layers in exact integers. Tensors NCHW of integers with the zero taken off; weights OIHW.

Products are summed as float64: whole numbers below 2^53 are exact there, and its matrix product is the quick one.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def convolution(
    x_NCHW: np.ndarray, weight_OIHW: np.ndarray, *, pads: tuple[int, int, int, int], strides: tuple[int, int],
    groups: int,
) -> np.ndarray:  # fmt: skip
    """Sums (N, O, h, w), int64. `pads` are top, left, bottom, right."""
    n, c, _, _ = x_NCHW.shape
    outputs, per_group, kernel_h, kernel_w = weight_OIHW.shape
    top, left, bottom, right = pads
    padded = np.pad(x_NCHW, ((0, 0), (0, 0), (top, bottom), (left, right)))
    h = (padded.shape[2] - kernel_h) // strides[0] + 1
    w = (padded.shape[3] - kernel_w) // strides[1] + 1
    if per_group == 1 and outputs == c == groups:
        return _depthwise(padded, weight_OIHW[:, 0], strides, (h, w))
    windows = sliding_window_view(padded, (kernel_h, kernel_w), axis=(2, 3))[:, :, :: strides[0], :: strides[1]]
    out = np.empty((n, outputs, h, w), np.int64)
    for group in range(groups):
        inputs = slice(group * per_group, (group + 1) * per_group)
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        taken = windows[:, inputs].transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, -1).astype(np.float64)
        sums = taken @ weight_OIHW[rows].reshape(outputs // groups, -1).T.astype(np.float64)
        out[:, rows] = sums.reshape(n, h, w, -1).transpose(0, 3, 1, 2)
    return out


def _depthwise(
    padded: np.ndarray, weight_CKK: np.ndarray, strides: tuple[int, int], out_hw: tuple[int, int]
) -> np.ndarray:
    h, w = out_hw
    out = np.zeros((*padded.shape[:2], h, w), np.int64)
    for i in range(weight_CKK.shape[1]):
        for j in range(weight_CKK.shape[2]):
            part = padded[:, :, i : i + h * strides[0] : strides[0], j : j + w * strides[1] : strides[1]]
            out += part[:, :, :h, :w] * weight_CKK[:, i, j].astype(np.int64)[:, None, None]
    return out


def linear(x_NI: np.ndarray, weight_OI: np.ndarray) -> np.ndarray:
    """Sums (N, O), int64."""
    sums = x_NI.astype(np.float64) @ weight_OI.T.astype(np.float64)
    return sums.astype(np.int64)
