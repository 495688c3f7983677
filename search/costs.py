"""What an operator costs apart from time: multiply-adds, bytes of storage, bytes of activations. Torch-free.

All follow from the operator alone, so no device has to be asked. They are the figures of the report card too.
"""

import math

from latency.operator import Operator
from search.constraints import Format
from search.storage import Weight, stored_bits

FLOAT_BITS, INTEGER_BITS = 32, 8


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
    output). All tensors have the activation bits of the operator, pixels are float32. A change of format has a float
    and an integer for each value. An identity holds nothing that its neighbours do not.

    The measure of MCUNet (Lin 2020) without its in-place depthwise convolution, which general runtimes lack.
    """
    o = operator
    if o.kind == "base" or o.is_identity:
        return 0.0
    pixels, share = o.h * o.w, o.activation_bits / 8
    if o.kind == "boundary":
        return pixels * o.c_in * (FLOAT_BITS + INTEGER_BITS) / 8
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
