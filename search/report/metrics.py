"""What a trained network is made of, counted from its operators and its folded weights. Torch-free.

The definitions are those of Blalock 2020 (sec. 6): compression ratio = parameters / non-zeros, theoretical speed-up =
multiply-adds / those that no zero of a weight takes part in. ShrinkBench, the code beside that paper, leaves the groups
of a convolution out, and so counts a depthwise one as many times over as it has channels. A weight has its groups in
its shape, (c_out, c_in / groups, k, k): each value of it is multiplied once for every pixel of the output.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from latency.operator import Operator
from search.choices import LEVELS_OF_PATTERN
from search.costs import FLOAT_BITS
from search.storage import AUTO, DENSE, bits_of_values, chosen

Folded = Mapping[str, np.ndarray]  # of one block: `expand.weight`, `expand.bias`, as `latency.weights.shapes_of`
FORMATS = (DENSE, "bitmap", "csr", *LEVELS_OF_PATTERN, AUTO)


class Metrics(NamedTuple):
    """Counts of an operator, or of a network.

    `parameters`      weights, and a bias for each output channel (BatchNorm folded), zeros included
    `nonzeros`        those of them that are not zero
    `macs`            multiply-adds of one picture, groups counted
    `effective_macs`  those that no zero of a weight takes part in
    `bits`            of storage by format: every weight in that format where it fits it, dense where not; biases and
                      scales are in each. A pattern is there where a weight fits it.
    """

    parameters: int
    nonzeros: int
    macs: int
    effective_macs: int
    bits: Mapping[str, int]

    @property
    def compression_ratio(self) -> float:
        """Parameters over non-zeros."""
        return self.parameters / self.nonzeros

    @property
    def theoretical_speedup(self) -> float:
        """Multiply-adds over effective ones: what zeros would spare a device that skips every one of them for free."""
        return self.macs / self.effective_macs

    @property
    def float_bits(self) -> int:
        """What all parameters take as float32, dense."""
        return self.parameters * FLOAT_BITS


def metrics(operator: Operator, folded: Folded) -> Metrics:
    """Counts of one operator. Weights are stored at its bits, biases and the scales of what is quantised at 32."""
    weights = {name.removesuffix(".weight"): w for name, w in folded.items() if name.endswith(".weight")}
    biases = [folded[f"{layer}.bias"] for layer in weights]
    nonzeros = {layer: int(np.count_nonzero(weight)) for layer, weight in weights.items()}
    pixels = _pixels(operator)
    sizes = [bits_of_values(weight, operator.weight_bits) for weight in weights.values()]
    rows = sum(map(len, biases))
    beside = rows * (FLOAT_BITS if operator.weight_bits == FLOAT_BITS else 2 * FLOAT_BITS)
    fitting = {format for bits in sizes for format in bits} | {DENSE, "bitmap", "csr", AUTO}
    return Metrics(
        parameters=rows + sum(weight.size for weight in weights.values()),
        nonzeros=sum(nonzeros.values()) + sum(int(np.count_nonzero(bias)) for bias in biases),
        macs=sum(weight.size * pixels[layer] for layer, weight in weights.items()),
        effective_macs=sum(count * pixels[layer] for layer, count in nonzeros.items()),
        bits={format: beside + sum(chosen(bits, format) for bits in sizes) for format in FORMATS if format in fitting},
    )


def total(each: Iterable[Metrics]) -> Metrics:
    """Counts of a network from those of its operators. What fits no pattern there is dense under that pattern."""
    each = list(each)
    fitting = {format for one in each for format in one.bits}
    bits = {f: sum(one.bits.get(f, one.bits[DENSE]) for one in each) for f in FORMATS if f in fitting}
    return Metrics(
        parameters=sum(one.parameters for one in each),
        nonzeros=sum(one.nonzeros for one in each),
        macs=sum(one.macs for one in each),
        effective_macs=sum(one.effective_macs for one in each),
        bits=bits,
    )


def _pixels(operator: Operator) -> dict[str, int]:
    """Pixels of the output of each layer of an operator."""
    o = operator
    if not o.computes:
        return {}
    if o.kind == "head":
        return {"conv": o.h * o.w, "linear": 1}  # the classifier sees one pixel
    out = math.prod(o.out_hw)
    return {"expand": o.h * o.w, "depthwise": out, "project": out, "conv": out}
