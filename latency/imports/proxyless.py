"""ProxylessNAS' and Once-for-all's tables: a key an operator, {"mean": ...} or a number after it.

expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0
Conv-input:224x224x3-output:112x112x32      Conv_1-input:7x7x320-output:7x7x1280      Logits-input:7x7x1280-output:1000

`expand` is a ratio; greater than 10 it is taken for the middle channels themselves, as later tables have it. Blocks
with squeeze-and-excitation (`-se:1`) or h-swish (`-hs:1`) have no place here. Conv is the stem; Conv_1 and Logits
together make the head, where Logits reads what Conv_1 gives: once-for-all's MobileNetV3 has more between them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from latency.imports.collect import Collected, LayoutError
from latency.operator import Operator, OperatorError

SIZE = r"(\d+)x(\d+)x(\d+)"
BLOCK = re.compile(
    rf"expanded_conv-input:{SIZE}-output:{SIZE}-expand:(\d+(?:\.\d+)?)-kernel:(\d+)-stride:(\d+)-idskip:([01])"
    r"(?:-se:([01]))?(?:-hs:([01]))?"
)
FIRST = re.compile(rf"Conv-input:{SIZE}-output:{SIZE}")
LAST = re.compile(rf"Conv_1-input:{SIZE}-output:{SIZE}")
LOGITS = re.compile(r"Logits-input:(\d+)x(\d+)x(\d+)-output:(\d+)")
GREATEST_RATIO = 10
STEM_KERNEL = 3


def read(document: Any, us: float, layers: Sequence[Mapping[str, Operator]], collected: Collected) -> None:
    """`us` microseconds are the file's unit. Raises LayoutError."""
    if not isinstance(document, dict):
        raise LayoutError("the file is no mapping of operators to latencies")
    ends = _Ends({}, {})
    for key, told in document.items():
        value = told.get("mean") if isinstance(told, dict) else told
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LayoutError(f"{key}: {value!r} is no latency")
        _take(str(key), value * us, collected, ends)
    paired = [(last, logits) for last in ends.last for logits in ends.logits if last[3:] == logits[:3]]
    for last, logits in paired:
        (h, w, c_in, *_, c_mid), classes = last, logits[3]
        head = Operator("head", h, w, c_in, c_mid, classes)
        collected.add(head, ends.last[last] + ends.logits[logits], "Conv_1 and Logits")
    for _ in ends.last.keys() - {last for last, _ in paired}:
        collected.leave_out("Conv_1 whose output no Logits reads")
    for _ in ends.logits.keys() - {logits for _, logits in paired}:
        collected.leave_out("Logits that read no output of a Conv_1")


class _Ends(NamedTuple):
    """Parts of heads by their numbers: those of input and output."""

    last: dict[tuple[int, ...], float]
    logits: dict[tuple[int, ...], float]


def _take(key: str, latency_us: float, collected: Collected, ends: _Ends) -> None:
    try:
        if match := BLOCK.fullmatch(key):
            _take_block(match, latency_us, collected)
        elif match := FIRST.fullmatch(key):
            h, _, c_in, out_h, _, c_out = map(int, match.groups())
            stem = Operator("stem", h, int(match[2]), c_in, 0, c_out, -(-h // out_h), STEM_KERNEL)
            collected.add(stem, latency_us, key)
        elif match := LAST.fullmatch(key):
            ends.last[tuple(map(int, match.groups()))] = latency_us
        elif match := LOGITS.fullmatch(key):
            ends.logits[tuple(map(int, match.groups()))] = latency_us
        else:
            collected.leave_out(f"{key.partition('-')[0]}: no operator of a table")
    except (OperatorError, ZeroDivisionError) as error:
        raise LayoutError(f"{key}: {error}") from error


def _take_block(match: re.Match[str], latency_us: float, collected: Collected) -> None:
    h, w, c_in, out_h, out_w, c_out = (int(match[place]) for place in range(1, 7))
    expand, kernel, stride = float(match[7]), int(match[8]), int(match[9])
    c_mid = round(expand if expand > GREATEST_RATIO else expand * c_in)
    operator = Operator("mbconv", h, w, c_in, c_mid, c_out, stride, kernel, 1)
    if operator.out_hw != (out_h, out_w):
        raise LayoutError(f"{match[0]}: stride {stride} does not lead to {out_h}x{out_w}")
    if match[11] == "1":
        collected.leave_out("expanded_conv with squeeze-and-excitation")
    elif match[12] == "1":
        collected.leave_out("expanded_conv with h-swish")
    elif operator.keeps_shape != (match[10] == "1"):
        collected.leave_out("expanded_conv that keeps its shape without a residual sum")
    else:
        collected.add(operator, latency_us, match[0])
