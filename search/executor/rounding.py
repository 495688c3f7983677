"""From the sums of a layer to 8 bits: y = round(sum * multiplier), the multiplier being a ratio of steps below 1.

`onnx`    in float32, halves to even: what onnxruntime computes
`tflite`  a 31-bit multiplier and a shift, halves away from 0 (Jacob 2017, sec. 2.2, and gemmlowp, which it describes)
`dyadic`  a multiplier b / 2^c of 16 bits with one shift, halves up (HAWQ-V3, sec. 3.1)
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

Rounding = Literal["onnx", "tflite", "dyadic"]
DYADIC_BITS = 16


def _onnx(sums: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(sums.astype(np.float32) * multiplier.astype(np.float32)).astype(np.int64))


def _tflite(sums: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(multiplier.astype(np.float64))
    fixed = np.rint(mantissa * 2.0**31).astype(np.int64)
    full = fixed == 2**31
    fixed, exponent = np.where(full, fixed // 2, fixed), exponent + full
    # Multipliers above 1 shift the sum first; sums of a layer leave room for that.
    product = (sums << np.maximum(exponent, 0)) * fixed
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = (product + nudge) // 2**31  # SaturatingRoundingDoublingHighMul truncates towards 0
    high = np.where((product + nudge < 0) & ((product + nudge) % 2**31 != 0), high + 1, high)
    shift = np.maximum(-exponent, 0)
    mask = (np.int64(1) << shift) - 1
    threshold = (mask >> 1) + (high < 0)
    return np.asarray((high >> shift) + ((high & mask) > threshold))


def _dyadic(sums: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(multiplier.astype(np.float64))
    fixed, shift = np.rint(mantissa * 2.0**DYADIC_BITS).astype(np.int64), DYADIC_BITS - exponent
    return np.asarray((sums * fixed + (np.int64(1) << (shift - 1))) >> shift)


ROUNDINGS: dict[Rounding, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "dyadic": _dyadic,
}
