"""What an operator costs apart from time: multiply-adds, bytes of storage, bytes of activations. Torch-free.

All follow from the operator alone, so no device has to be asked. They are the figures of the report card too.
"""

import math
from typing import NamedTuple

from latency.operator import Operator
from search.constraints import Format

FLOAT_BITS = 32
POINTER_BITS = 32  # CSR: where a row begins


class Weight(NamedTuple):
    """A weight of `rows` output channels, each of `columns` values of `bits`; `sparsity` of them are zeros."""

    rows: int
    columns: int
    bits: int
    sparsity: float = 0.0
    pattern: str = ""

    @property
    def size(self) -> int:
        """Values, zeros included."""
        return self.rows * self.columns

    @property
    def nonzeros(self) -> int:
        """Values that are not zero."""
        return self.size - round(self.sparsity * self.size)


def macs(operator: Operator) -> int:
    """Multiply-adds of one picture: the sum over convolutions of out_h out_w c_out c_in / groups k^2.

    ShrinkBench (Blalock 2020) defines it so and its code forgets the groups; here a depthwise convolution has as many
    groups as channels. Zeros are multiplied too: what they spare is for a device's table to say. Residual sums and
    activations do not count.
    """
    o = operator
    if o.kind in ("base", "boundary") or o.is_identity:
        return 0
    if o.kind == "head":  # the classifier sees one pixel
        return o.h * o.w * o.c_in * o.c_mid + o.c_mid * o.c_out
    out_h, out_w = o.out_hw
    if o.kind == "mbconv":
        expand = o.h * o.w * o.c_mid * (o.c_in // o.groups)
        return expand + out_h * out_w * (o.c_mid * o.kernel**2 + o.c_out * (o.c_mid // o.groups))
    return out_h * out_w * o.c_out * o.c_in * max(1, o.kernel) ** 2


def weights(operator: Operator) -> tuple[Weight, ...]:
    """The weights of an operator; both 1x1 of a block carry its sparsity, the depthwise one stays dense."""
    o, bits = operator, operator.weight_bits
    match o.kind:
        case "mbconv":
            groups = max(1, o.groups)
            expand = Weight(o.c_mid, o.c_in // groups, bits, o.sparsity, o.pattern)
            project = Weight(o.c_out, o.c_mid // groups, bits, o.sparsity, o.pattern)
            return expand, Weight(o.c_mid, o.kernel**2, bits), project
        case "skip":
            return () if o.keeps_shape else (Weight(o.c_out, o.c_in, bits),)
        case "stem":
            return (Weight(o.c_out, o.c_in * o.kernel**2, bits),)
        case "head":
            return Weight(o.c_mid, o.c_in, bits), Weight(o.c_out, o.c_mid, bits)
        case _:
            return ()


def parameters(operator: Operator) -> int:
    """Weights, and a bias for each output channel (BatchNorm folded)."""
    return sum(weight.size + weight.rows for weight in weights(operator))


def stored_bits(weight: Weight, format: Format = "auto") -> int:
    """Bits of a weight of n values of b bits, a share s of them zeros (Hoefler 2021, sec. 2.3): dense n b; bitmap
    n + (1 - s) n b; CSR (1 - s) n (b + ceil log2 columns) + 32 (rows + 1); N:M (1 - s) n (b + log2 M), so 2:4 is
    n (b / 2 + 1).

    A weight without zeros is dense in any format. `auto` is the least of all that fit it.
    """
    n, b, kept = weight.size, weight.bits, weight.nonzeros
    sizes = {"dense": n * b}
    if weight.sparsity:
        sizes["bitmap"] = n + kept * b
        sizes["csr"] = kept * (b + math.ceil(math.log2(weight.columns))) + POINTER_BITS * (weight.rows + 1)
        if ":" in weight.pattern:
            sizes[weight.pattern] = kept * (b + math.ceil(math.log2(int(weight.pattern.partition(":")[2]))))
    return min(sizes.values()) if format == "auto" else sizes.get(format, sizes["dense"])


def stored_bytes(operator: Operator, format: Format = "auto") -> float:
    """Bytes of an operator's weights in `format`, with 32 bits of bias an output channel, and 32 of scale where the
    weight is quantised. Eighths are kept: a sum of operators rounds no part of it.
    """
    bits = 0
    for weight in weights(operator):
        scale = FLOAT_BITS if weight.bits < FLOAT_BITS else 0
        bits += stored_bits(weight, format) + weight.rows * (FLOAT_BITS + scale)
    return bits / 8


def activation_bytes(operator: Operator) -> float:
    """Greatest bytes of the tensors alive at once at batch 1, while the convolutions run one after the other: each
    needs its input and its output, and a block that adds its input keeps that to its end (the sum goes into the
    output). All tensors have the activation bits of the operator, pixels are float32. An identity holds nothing that
    its neighbours do not.

    The measure of MCUNet (Lin 2020) without its in-place depthwise convolution, which general runtimes lack.
    """
    o = operator
    if o.kind in ("base", "boundary") or o.is_identity:
        return 0.0
    pixels, share = o.h * o.w, o.activation_bits / 8
    if o.kind == "head":
        return max(pixels * (o.c_in + o.c_mid), pixels * o.c_mid + o.c_mid) * share
    out = math.prod(o.out_hw)
    if o.kind == "stem":
        return pixels * o.c_in * FLOAT_BITS / 8 + out * o.c_out * share
    if o.kind == "skip":
        return (pixels * o.c_in + out * o.c_out) * share
    kept = pixels * o.c_in if o.keeps_shape else 0
    expand, depthwise, project = pixels * (o.c_in + o.c_mid), (pixels + out) * o.c_mid, out * (o.c_mid + o.c_out)
    shuffle = 2 * pixels * o.c_mid if o.groups > 1 else 0
    return max(expand, shuffle + kept, depthwise + kept, project + kept) * share
