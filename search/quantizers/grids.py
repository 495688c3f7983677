"""Static grids of a trained network: sizes of its activations' grids from pictures, while BatchNorm stays as it is.

Without, a grid is sized by a running root mean square of what is rounded there, times a clip that a Gaussian would
choose (`search.kernels.grids`). A calibrated one is a step of its own, which stays.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from search.blocks import Head, MobileBlock, Skip, Stem
from search.kernels.grids import clip_of
from search.network import Network
from search.norms import NormAct, Rounding
from search.quantizers.affine import Affine, Range
from search.quantizers.calibration import Observer, calibration
from search.quantizers.recording import in_front_of_norms, normed

Place = NormAct | Rounding
GAUSSIAN = "gaussian"


def calibrate_grids(network: Network, batches: Sequence[Tensor], method: str = GAUSSIAN) -> None:
    """Sizes every grid of `network` on batches of pixels, in order, since what is rounded changes what comes after:
    one pass a grid. By `gaussian`, as training does it, or by a method of `search.quantizers.calibration`; ends in
    evaluation mode. Raises ValueError on other names.
    """
    calibrate = gaussian if method == GAUSSIAN else calibration(method)
    for place, affine in places_of(network):
        seen = observed(network, place, batches)
        if not seen.count:
            continue  # its input comes on a grid already
        place.fix(torch.tensor(float(affine.steps(calibrate(seen, affine)).size)))


def places_of(network: Network) -> Iterator[tuple[Place, Affine]]:
    """What rounds activations in `network`, in order, and its grid."""
    for block in network.modules():
        if isinstance(block, MobileBlock | Skip | Stem | Head) and block.bits:
            for part in block.children():
                if isinstance(part, Rounding):
                    yield part, Affine(block.bits[0], "signed" if part.signed else "unsigned")
                elif isinstance(part, NormAct):
                    yield part, Affine(block.bits[0], "unsigned")


def observed(network: Network, place: Place, batches: Iterable[Tensor]) -> Observer:
    """All that is rounded at `place`, before it is."""
    seen = Observer()

    def take(norm: nn.BatchNorm2d, y_NCHW: Tensor) -> None:
        if norm is place:
            seen.observe(torch.relu(normed(norm, y_NCHW)))

    hook = place.register_forward_pre_hook(lambda _, inputs: seen.observe(inputs[0]))  # fires for a Rounding
    with hook, torch.no_grad(), in_front_of_norms(network.eval(), take):
        for x_NCHW in batches:
            network(x_NCHW)
    return seen


def measure_found(network: Network, pictures: Callable[[], Iterator[Tensor]]) -> None:
    """Tells the grids whose steps were found the root mean square of what they round: nothing kept it while they
    stayed, and steps that learn are shares of what it gives. The steps are as they were. `pictures()` gives batches of
    pixels.
    """
    for place in [place for place, _ in places_of(network) if place.log_size is not None]:
        if (seen := observed(network, place, pictures())).count:
            place.rms.fill_(root_mean_square(seen))


def root_mean_square(seen: Observer) -> float:
    """Of all that was seen, to a bin."""
    values, counts = seen.points
    return math.sqrt(float((values.square() * counts).sum()) / seen.count)


def gaussian(seen: Observer, affine: Affine) -> Range:
    """The clip of a Gaussian, after a ReLU of half of one, with the root mean square that was seen, to a bin."""
    rms = root_mean_square(seen)
    signed = affine.kind == "signed"
    clip = torch.tensor([[clip_of(affine.bits, rms, signed=signed)]])
    return Range(-clip if signed else torch.zeros_like(clip), clip)
