"""Rounds a network that was trained in float, without training it again (Nagel 2021, "A white paper on neural network
quantization", sec. 3.6, leaves the order: equalise, size the grids, round the weights, correct the biases).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from search.network import Network
from search.quantizers.bias_correction import correct_biases
from search.quantizers.equalization import equalize
from search.quantizers.grids import calibrate_grids
from search.quantizers.own_steps import own_steps_of
from search.quantizers.roundings import learn_roundings
from search.quantizers.zero_shot import pictures_from_statistics
from search.spec import PostTraining

MADE_UP = 64  # pictures of a batch that statistics make up


def round_network(
    rounded: Network, plain: Network, batches: Sequence[Tensor], settings: PostTraining, *, seed: int
) -> None:
    """Gives `rounded` the weights of `plain`, the same architecture in float, and sizes its grids over `batches` of
    pixels, or over pictures of its own. Both are in evaluation mode then; equalisation changes `plain` too, but not
    what it computes.
    """
    if settings.equalization:
        equalize(plain)
    for module in own_steps_of(rounded):
        module.leave_to_statistics()  # what an earlier rounding found was for other weights
    rounded.load_state_dict({**rounded.state_dict(), **plain.state_dict()})
    if settings.pictures == "zero-shot":
        batches = [pictures_from_statistics(plain, count=MADE_UP, seed=seed)]
    calibrate_grids(rounded, batches, settings.calibration)
    if settings.rounding == "adaround":
        learn_roundings(rounded, plain, batches, seed=seed)
    if settings.bias_correction:
        with torch.no_grad():
            correct_biases(rounded, plain, batches)
