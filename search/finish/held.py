"""The last steps of a training that rounds are done on the statistics that ship, as Krishnamoorthi 2018 freezes
BatchNorm.

Much of a picture, its background say, has one value in each channel. Where that lies beside a threshold of a coarse
grid, statistics taken anew after the training push all of it across: the two worst of 24 networks of MPIC's pairs of
bits lost 3 and 8 points of 82 and 80 that way after five epochs. In training a batch's own statistics are now on this
side, now on that.
"""

from collections.abc import Iterator

from torch import Tensor

from search.compression.gradual import Gradual
from search.network import Network, hold_statistics, recalibrate
from search.spec import Finish
from search.unrounded import rounds

HELD_SHARE = 0.1  # of the steps; a fifth was as good, and two fifths, at higher learning rates, diverged


def held_from(network: Network, pruning: Gradual | None, settings: Finish, steps: int) -> int:
    """The step from which statistics are held; `steps` where they are taken when all is done: of what learns in float,
    and of averaged weights, which are none of the last steps'. Zeros that still come in would make them wrong.
    """
    is_held = rounds(network.architecture) and settings.ema is None
    first = steps - (round(HELD_SHARE * steps) if is_held else 0)
    return first if pruning is None else max(first, pruning.ramp.end + 1)


def hold(network: Network, calibration: Iterator[Tensor] | None) -> None:
    """Has a network in training use its running statistics in the next step; those of `calibration`, where given."""
    if calibration is not None:
        recalibrate(network, calibration)
        network.train()
    hold_statistics(network)
