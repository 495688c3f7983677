"""TF-NAS' tables: {"base": ..., "MBInvertedResBlock_56_24_0_40_k3_s2_relu": {"96": ...}}, as JSON.

A key has size, input channels, channels of squeeze-and-excitation, output channels, kernel, stride and activation; its
value the latency by middle channels. They are published as pickles, which are not read: save them as JSON first. Only
blocks without squeeze-and-excitation have a place here; the activation is not told apart.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from latency.imports.collect import Collected, LayoutError
from latency.operator import BASE, Operator, OperatorError

BLOCK = re.compile(r"[A-Za-z]+_(\d+)_(\d+)_(\d+)_(\d+)_k(\d+)_s(\d+)_([a-z]+)")


def read(document: Any, us: float, layers: Sequence[Mapping[str, Operator]], collected: Collected) -> None:
    """`us` microseconds are the file's unit. Raises LayoutError."""
    if not isinstance(document, dict):
        raise LayoutError("the file is no mapping of blocks to latencies")
    for key, told in document.items():
        if key == "base":
            collected.add(BASE, _scaled(told, us), key)
        elif match := BLOCK.fullmatch(str(key)):
            _take(match, told, us, collected)
        else:
            collected.leave_out(f"{key}: no operator of a table")


def _take(match: re.Match[str], told: Any, us: float, collected: Collected) -> None:
    if not isinstance(told, dict):
        raise LayoutError(f"{match[0]}: is no mapping of middle channels to latencies")
    size, c_in, squeezed, c_out, kernel, stride = (int(match[place]) for place in range(1, 7))
    for c_mid, value in told.items():
        if squeezed:
            collected.leave_out("blocks with squeeze-and-excitation")
            continue
        try:
            operator = Operator("mbconv", size, size, c_in, int(c_mid), c_out, stride, kernel, 1)
        except (OperatorError, ValueError) as error:
            raise LayoutError(f"{match[0]}.{c_mid}: {error}") from error
        collected.add(operator, _scaled(value, us), f"{match[0]}.{c_mid}")


def _scaled(value: Any, us: float) -> Any:
    return value * us if isinstance(value, int | float) and not isinstance(value, bool) else value
