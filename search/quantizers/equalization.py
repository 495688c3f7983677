"""Cross-layer equalisation (Nagel 2019, sec. 4.1): channels are scaled between layers until each has the same range
in the weights that give it and in those that read it. The network computes what it did.

ReLU, mean over the picture and convolutions are positively homogeneous: what gives channel i is divided by s_i, what
reads it multiplied. A BatchNorm's gain and bias are divided, so raw weights in front of it and its statistics stay; a
depthwise row is multiplied by what its input was divided by, so the statistics after it stay as well. Ranges are
greatest magnitudes of the weights with BatchNorm folded in, by channel.

Where channels are read once alone: inside each block, from the head's convolution to its classifier, and between
blocks where neither adds its input.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search.blocks import Block, Head, MobileBlock, Skip, Stem, shuffle
from search.network import Network

TOLERANCE = 1e-3  # of a scale
MOST_SWEEPS = 100


@dataclass(frozen=True)
class Chain:
    """Channels (C,) on their way through layers of blocks: a BatchNorm gives them, a depthwise layer may pass them on
    (`passes`), and `reads` is the weight that mixes them. Each with its block and its name among the folded weights.
    """

    giver: tuple[Block, str]
    passes: tuple[Block, str] | None
    reader: tuple[Block, str]

    def equalize(self) -> float:
        """Scales the channels; returns the greatest |log s|. For three layers the fixed point of eq. 11 is the cube
        root of the three ranges, for two the square root. Channels with a range of 0 stay.
        """
        ranges_LC = torch.stack(list(self.ranges()))
        live = (ranges_LC > 0).all(0)
        log_LC = torch.where(live, ranges_LC, torch.ones_like(ranges_LC)).log()
        s_LC = (log_LC - log_LC.mean(0)).cumsum(0).exp()  # by how much after each layer channels become smaller
        with torch.no_grad():
            _divide(*self.giver, _before_shuffle(s_LC[0], self.giver[0], self.passes is not None))
            if self.passes is not None:
                block, name = self.passes
                _weight(block, name).mul_(s_LC[0].float().view(-1, 1, 1, 1))
                _divide(block, name, s_LC[1])
            block, name = self.reader
            _multiply_columns(_weight(block, name), s_LC[-2])
        return float(s_LC[:-1].log().abs().max())

    def ranges(self) -> Iterator[Tensor]:
        """The range (C,) of each channel in each layer, float64, in the order in which they are read."""
        block, name = self.giver
        yield _after_shuffle(_folded(block, name).flatten(1).amax(1), block, self.passes is not None)
        if self.passes is not None:
            yield _folded(*self.passes).flatten(1).amax(1)
        block, name = self.reader
        yield _column_ranges(_folded(block, name), groups=_groups(block))


def chains_of(network: Network) -> list[Chain]:
    """Every chain of a network, in order."""
    chains, giver = list[Chain](), None
    for block in (network.stem, *network.layers, network.head):
        if isinstance(block, MobileBlock):
            chains.append(Chain((block, "expand"), (block, "depthwise"), (block, "project")))
        elif isinstance(block, Head):
            chains.append(Chain((block, "conv"), None, (block, "linear")))
        if isinstance(block, Skip) and block.operator.keeps_shape:
            continue  # passes on what it was given
        adds_input = isinstance(block, MobileBlock) and block.operator.keeps_shape
        if giver is not None and not adds_input and isinstance(block, MobileBlock | Skip | Head):
            chains.append(Chain(giver, None, (block, _reader_of(block))))
        gives = not adds_input and isinstance(block, MobileBlock | Skip | Stem)
        giver = (block, "conv" if isinstance(block, Stem) else "project") if gives else None
    return chains


def equalize(network: Network) -> float:
    """Equalises a float network in place and returns what is left: the greatest |log s| of the last sweep. Sweeps
    repeat until none is above TOLERANCE, as chains share weights, at most MOST_SWEEPS times.

    Raises ValueError where a block rounds already: equalise first, then round and calibrate.
    """
    for name, block in network.named_modules():
        if isinstance(block, MobileBlock | Skip | Stem | Head):
            o = block.operator
            if not (isinstance(block, Skip) and o.keeps_shape) and (o.weight_bits, o.activation_bits) != (32, 32):
                raise ValueError(
                    f"{name}: w{o.weight_bits}a{o.activation_bits}; equalise the float network, then round it"
                )
    chains, left = chains_of(network), 0.0
    for _ in range(MOST_SWEEPS):
        left = max(chain.equalize() for chain in chains)
        if left < TOLERANCE:
            break
    return left


def _reader_of(block: Block) -> str:
    return {MobileBlock: "expand", Skip: "project", Head: "conv"}[type(block)]


def _groups(block: Block) -> int:
    return block.operator.groups if isinstance(block, MobileBlock) else 1


def _folded(block: Block, name: str) -> Tensor:
    return torch.from_numpy(block.folded()[f"{name}.weight"]).double().abs()


def _weight(block: Block, name: str) -> Tensor:
    layer = block.get_submodule(name)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer.weight


def _divide(block: Block, name: str, s_C: Tensor) -> None:
    norm = block.biased()[name]
    norm.weight.div_(s_C.float())
    norm.bias.div_(s_C.float())


def _column_ranges(weight: Tensor, *, groups: int) -> Tensor:
    """Greatest magnitude (I,) of what reads each input channel of a weight (O, I / groups, ...) of magnitudes."""
    columns = weight.flatten(2).amax(2) if weight.ndim > 2 else weight
    return columns.view(groups, -1, columns.shape[1]).amax(1).flatten()


def _multiply_columns(weight: Tensor, s_I: Tensor) -> None:
    """Times s by input channel: of a grouped weight each group of rows reads channels of its own."""
    groups = len(s_I) // weight.shape[1]
    factors = s_I.float().view(groups, 1, -1).expand(-1, len(weight) // groups, -1).reshape(len(weight), -1)
    weight.mul_(factors.view(*factors.shape, *[1] * (weight.ndim - 2)))


def _after_shuffle(c_C: Tensor, block: Block, is_inside: bool) -> Tensor:
    """What belongs to the channels that `block` expands to, in the order of its depthwise layer."""
    groups = _groups(block) if is_inside else 1
    return shuffle(c_C.view(1, -1, 1, 1), groups).flatten() if groups > 1 else c_C


def _before_shuffle(c_C: Tensor, block: Block, is_inside: bool) -> Tensor:
    """Back again: a shuffle of g groups is undone by one of C / g."""
    groups = _groups(block) if is_inside else 1
    return shuffle(c_C.view(1, -1, 1, 1), len(c_C) // groups).flatten() if groups > 1 else c_C
