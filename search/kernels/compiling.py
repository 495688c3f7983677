"""How loops are compiled that torch has no fused operator for: each reads its tensors once.

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

from collections.abc import Callable
from typing import Any

import numba

ROWS = 256
FAST = {"contract", "nsz", "arcp", "reassoc"}  # infinities and NaN keep their meaning: they must show


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled at its first call, kept on disk where a folder can be written, and run without the GIL."""
    return exact(function, fastmath=FAST)


def exact(function: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """The same with every rounding as it is written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **more}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
