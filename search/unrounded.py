"""The float network behind a rounded one: the same blocks, widths, zeros and weights, nothing rounded."""

from collections.abc import Iterator

from torch import Tensor

from search.architecture import Architecture, LayerChoice
from search.blocks import build
from search.choices import DENSE, FP32, Choice
from search.network import MakeHead, Network, recalibrate
from search.space import Layer


def rounds(architecture: Architecture) -> bool:
    """Whether a network of it rounds anything."""
    return any(o.computes and min(o.weight_bits, o.activation_bits) < 32 for o in architecture.operators())


def float_copy(network: Network, head: MakeHead, *, dense: bool = False) -> Network:
    """A network of the same blocks and widths in fp32, with copies of the weights of `network`; `dense` leaves out its
    zeros too. `head` makes what `network` has for one.
    """
    copy, given = Network(in_floats(network.architecture, dense=dense), head), network.state_dict()
    copy.load_state_dict({name: given[name] for name in copy.state_dict()})
    return copy


def unrounded(network: Network, calibration: Iterator[Tensor], head: MakeHead = build) -> Network:
    """A `float_copy` with the weights that were trained, as they were before rounding, in evaluation mode.

    The statistics of BatchNorm are taken anew over `calibration`, batches of pixels: those of a rounded network are
    not its own. With them a digits network of w4a4 falls from 98 to 70 %, one of w2a2 from 83 to 11 %; with its own it
    has 98 and 76 %. Integer blocks keep the whole steps of their biases (`search.export.settle_biases`).
    """
    plain = float_copy(network, head)
    recalibrate(plain, calibration)
    return plain


def in_floats(architecture: Architecture, *, dense: bool = False) -> Architecture:
    """The same architecture with layers, stem and head in fp32, in a space that offers nothing else; `dense` leaves out
    the zeros too.
    """
    space = architecture.space
    choices, layer_choice = {"precision": (FP32.name,), "ends": FP32.name}, {"precision": FP32.name}
    changed = {"sparsity": None} if dense else {}
    zeros = {"pattern": DENSE.pattern, "sparsity": DENSE.sparsity} if dense else {}
    offered = space.offering(space.choices.model_copy(update={**choices, **changed}))
    layers = tuple(layer.model_copy(update={**layer_choice, **zeros}) for layer in architecture.layers)
    return Architecture(space=offered, layers=layers)


def at_full_width(architecture: Architecture) -> Architecture:
    """The same kernels and skips in fp32, dense, with all channels of the weight that each layer's widths are parts of:
    what was there before anything was searched away (an e3 is half of an e6: search.choices).
    """
    plain = in_floats(architecture, dense=True)
    layers = [_widest(layer, choice) for layer, choice in zip(plain.space.layers, plain.choices, strict=True)]
    return Architecture(space=plain.space, layers=tuple(layers))


def _widest(layer: Layer, choice: Choice) -> LayerChoice:
    own = choice.candidate
    alike = [b for b in layer.blocks if (b.candidate.kernel, b.candidate.groups) == (own.kernel, own.groups)]
    return LayerChoice.of(layer, Choice(max(alike, key=lambda block: block.c_mid)))
