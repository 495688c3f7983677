"""HW-NAS-Bench's tables of FBNet's space: a key an operator, a number after it, one file a device.

ConvBlock_H112_W112_Cin16_Cout24_exp6_kernel3_stride2_group1      Skip_H112_W112_Cin16_Cout24_stride2
ConvNorm_H224_W224_Cin3_Cout16_kernel3_stride2_group1             AvgP_H7_W7_Cin1984_Cout1984_kernel7_stride1
FC_Cin1984_Cout1000

A ConvNorm of more than 1x1 is the stem; one of 1x1, with AvgP and FC of its channels, makes the head. It is published
as a pickle, which is not read: save one device's mapping, `["fbnet"]["pixel3_latency"]`, as JSON first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from latency.imports.collect import Collected, LayoutError
from latency.operator import Operator, OperatorError

SHAPE = r"H(\d+)_W(\d+)_Cin(\d+)_Cout(\d+)"
BLOCK = re.compile(rf"ConvBlock_{SHAPE}_exp(\d+)_kernel(\d+)_stride(\d+)_group(\d+)")
SKIP = re.compile(rf"Skip_{SHAPE}_stride(\d+)")
CONVOLUTION = re.compile(rf"ConvNorm_{SHAPE}_kernel(\d+)_stride(\d+)_group1")
POOL = re.compile(rf"AvgP_{SHAPE}_kernel(\d+)_stride(\d+)")
CLASSIFIER = re.compile(r"FC_Cin(\d+)_Cout(\d+)")


class _Ends(NamedTuple):
    """Parts of heads: 1x1 convolutions by their shape, pools and classifiers by theirs."""

    convolutions: dict[tuple[int, ...], float]
    pools: dict[tuple[int, ...], float]
    classifiers: dict[tuple[int, ...], float]


def read(document: Any, us: float, layers: Sequence[Mapping[str, Operator]], collected: Collected) -> None:
    """`us` microseconds are the file's unit. Raises LayoutError."""
    if not isinstance(document, dict):
        raise LayoutError("the file is no mapping of operators to latencies")
    ends = _Ends({}, {}, {})
    for key, value in document.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LayoutError(f"{key}: {value!r} is no latency: save the mapping of one device")
        try:
            _take(str(key), value * us, collected, ends)
        except OperatorError as error:
            raise LayoutError(f"{key}: {error}") from error
    for part in _take_heads(ends, collected):
        collected.leave_out(f"{part} without the others of a head")


def _take_heads(ends: _Ends, collected: Collected) -> Iterator[str]:
    """Gives the name of each part that is of no head."""
    convolutions, pools, classifiers = (set(part) for part in ends)
    for (h, w, c_in, c_mid), convolution in ends.convolutions.items():
        pool = ends.pools.get((h, w, c_mid))
        for (features, classes), linear in ends.classifiers.items():
            if features == c_mid and pool is not None:
                head = Operator("head", h, w, c_in, c_mid, classes)
                collected.add(head, convolution + pool + linear, "ConvNorm, AvgP and FC")
                convolutions.discard((h, w, c_in, c_mid))
                pools.discard((h, w, c_mid))
                classifiers.discard((features, classes))
    for name, left in (("1x1 ConvNorm", convolutions), ("AvgP", pools), ("FC", classifiers)):
        yield from [name] * len(left)


def _take(key: str, latency_us: float, collected: Collected, ends: _Ends) -> None:
    if match := BLOCK.fullmatch(key):
        h, w, c_in, c_out, expansion, kernel, stride, groups = map(int, match.groups())
        collected.add(Operator("mbconv", h, w, c_in, expansion * c_in, c_out, stride, kernel, groups), latency_us, key)
    elif match := SKIP.fullmatch(key):
        h, w, c_in, c_out, stride = map(int, match.groups())
        collected.add(Operator("skip", h, w, c_in, 0, c_out, stride), latency_us, key)
    elif match := CONVOLUTION.fullmatch(key):
        h, w, c_in, c_out, kernel, stride = map(int, match.groups())
        if kernel > 1:
            collected.add(Operator("stem", h, w, c_in, 0, c_out, stride, kernel), latency_us, key)
        else:
            ends.convolutions[h, w, c_in, c_out] = latency_us
    elif match := POOL.fullmatch(key):
        ends.pools[int(match[1]), int(match[2]), int(match[3])] = latency_us
    elif match := CLASSIFIER.fullmatch(key):
        ends.classifiers[int(match[1]), int(match[2])] = latency_us
    else:
        collected.leave_out(f"{key.partition('_')[0]}: no operator of a table")
