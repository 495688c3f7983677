"""APQ's tables: a key a convolution and its bits, {"latency": ..., "energy": ...} after it.

(16, 96, 112, 1, 1, 0, 1)-W8A8    channels in and out, size, kernel, stride, padding, groups; weight, activation bits

A block is the sum of its three convolutions in one precision: the first 1x1, the depthwise one, the last 1x1. Every
block that the file has all three of is taken. Energy is left out: its unit is that of a simulator. `head` and `tail`
are the rest of the network and become what a call costs. Values come from a simulator.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from latency.imports.collect import Collected, LayoutError
from latency.operator import BASE, Operator

KEY = re.compile(r"\((\d+), (\d+), (\d+), (\d+), (\d+), (\d+), (\d+)\)-W(\d+)A(\d+)")
ENDS = ("head", "tail")


class Convolution(NamedTuple):
    """One key of the file."""

    c_in: int
    c_out: int
    size: int
    kernel: int
    stride: int
    padding: int
    groups: int


def read(document: Any, us: float, layers: Sequence[Mapping[str, Operator]], collected: Collected) -> None:
    """`us` microseconds are the file's unit. Raises LayoutError."""
    if not isinstance(document, dict):
        raise LayoutError("the file is no mapping of convolutions to latencies")
    collected.provenance = "simulated"
    by_bits: defaultdict[tuple[int, int], dict[Convolution, float]] = defaultdict(dict)
    for key, told in document.items():
        latency = told.get("latency") if isinstance(told, dict) else told
        if isinstance(latency, bool) or not isinstance(latency, int | float):
            raise LayoutError(f"{key}: {latency!r} is no latency")
        if match := KEY.fullmatch(str(key)):
            *shape, weight_bits, activation_bits = map(int, match.groups())
            by_bits[weight_bits, activation_bits][Convolution(*shape)] = latency * us
        elif key not in ENDS:
            collected.leave_out(f"{key}: no convolution")
    ends = [document[name] for name in ENDS if name in document]
    if ends:
        collected.add(
            BASE, us * sum(told["latency"] if isinstance(told, dict) else told for told in ends), "head and tail"
        )
    for bits, convolutions in by_bits.items():
        for operator, latency_us in _blocks(bits, convolutions, collected):
            collected.add(operator, latency_us, operator.key)


def _blocks(
    bits: tuple[int, int], convolutions: dict[Convolution, float], collected: Collected
) -> Iterator[tuple[Operator, float]]:
    first, last = defaultdict(list), defaultdict(list)
    for one in convolutions:
        if one.kernel == 1 and one.groups == 1:
            first[one.c_out, one.size].append(one)
            last[one.c_in, one.size].append(one)
    for middle in convolutions:
        if middle.kernel == 1 or middle.groups != middle.c_in or middle.c_in != middle.c_out:
            continue
        out, found = -(-middle.size // middle.stride), False
        for before in first[middle.c_in, middle.size]:
            for after in last[middle.c_out, out]:
                if before.c_in > middle.c_in or after.c_out > middle.c_in:
                    continue  # a 1x1 of another block that happens to fit: blocks widen, then narrow
                found = True
                operator = Operator(
                    "mbconv", middle.size, middle.size, before.c_in, middle.c_in, after.c_out, middle.stride,
                    middle.kernel, 1, *bits,
                )  # fmt: skip
                yield operator, convolutions[before] + convolutions[middle] + convolutions[after]
        if not found:
            collected.leave_out("depthwise convolution without both of its 1x1")
