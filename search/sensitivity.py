"""What every precision and every level of zeros of given blocks costs the loss, by HAWQ's Omega: worth of the choices
of a space, from one float network, without training any of them (search.compression.hawq).

Omega of a choice is summed over the convolutions of its block: what rounding and zeros move in their weights, and what
rounding moves in what they read. That zeros are a perturbation like any other is ours, not HAWQ's.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from search.batches import pixels
from search.choices import DENSE, Choice
from search.compression.hawq import (
    Curvature,
    Trace,
    activation_curvature,
    activation_omegas,
    estimates,
    moved,
    weight_curvature,
)
from search.compression.layers import Loss, weighted
from search.network import Network
from search.reports import StepReport
from search.space import Layer, Space
from search.state import State
from search.task import Task

GREATEST = 1000.0  # what the greatest Omega counts as: its own unit depends on how well the network is trained
MASKED = ("expand", "project")  # the convolutions that levels of zeros act on


class Sensitivity:
    """Estimates the traces of `network` (fp32, dense, in evaluation mode) with `vectors` vectors on the pictures given:
    an iterator of step reports of phase `trace`, and `state_dict()` between any two.
    """

    def __init__(self, network: Network, *, x_NCHW: Tensor, y_N: Tensor, vectors: int, seed: int, task: Task) -> None:
        self.network, self.vectors, self.seed = network, vectors, seed
        x = pixels(x_NCHW)
        self.loss: Loss = lambda model: task.loss(model(x), y_N)
        self.rows: list[Tensor] = []  # v' H v by weights, then by what layers read, (2 L,) each
        self.sizes: tuple[dict[str, int], dict[str, int]] = ({}, {})  # values of both, by layer

    def __iter__(self) -> Iterator[StepReport]:
        """Asks the vectors that remain, one report each."""
        if len(self.rows) == self.vectors:
            return
        curvatures = self._curvatures()
        while len(self.rows) < self.vectors:
            number = len(self.rows)
            self.rows.append(torch.cat([curvature.row(number) for curvature in curvatures]))
            yield StepReport("trace", len(self.rows), self.vectors, {"trace": self.rows[-1].sum().item()})

    def _curvatures(self) -> tuple[Curvature, Curvature]:
        network = self.network.eval()
        by_weights = weight_curvature(network, self.loss, seed=self.seed)
        by_reads = activation_curvature(network, self.loss, seed=self.seed)
        self.sizes = (by_weights.sizes, by_reads.sizes)
        return by_weights, by_reads

    def traces(self) -> tuple[dict[str, Trace], dict[str, Trace]]:
        """By weights and by what layers read, once all vectors were asked."""
        products_VL, (weights, reads) = torch.stack(self.rows), self.sizes
        return (
            estimates(products_VL[:, : len(weights)], weights),
            estimates(products_VL[:, len(weights) :], reads),
        )

    @property
    def error(self) -> float:
        """The standard error of the traces of all weights together, as a share of them."""
        total_V = torch.stack(self.rows)[:, : len(self.sizes[0])].sum(1)
        return float(total_V.std() / math.sqrt(len(total_V)) / total_V.mean().abs().clamp_min(1e-30))

    def omegas(self, space: Space, indices: Sequence[int]) -> list[list[float]]:
        """Omega of each choice of each layer of `space` that has the block which `indices` choose there, the greatest
        being GREATEST; infinite for other blocks. The blocks are those of the network.
        """
        by_weights, by_reads = self.traces()
        bits = sorted({precision.activation_bits for precision in space.choices.precisions})
        reads = activation_omegas(self.network.eval(), by_reads, self.loss, bits)
        read = {name: dict(zip(bits, row, strict=True)) for name, row in reads.items()}
        found = []
        for layer, index in zip(space.layers, indices, strict=True):
            own = layer.choices[index].block
            found.append(
                [
                    self._omega(layer, choice, by_weights, read) if choice.block == own else math.inf
                    for choice in layer.choices
                ]
            )
        greatest = max((omega for row in found for omega in row if omega < math.inf), default=0.0)
        scale = GREATEST / greatest if greatest > 0 else 0.0
        return [[omega * scale if omega < math.inf else omega for omega in row] for row in found]

    def _omega(
        self, layer: Layer, choice: Choice, traces: Mapping[str, Trace], read: Mapping[str, Mapping[int, float]]
    ) -> float:
        if layer.operator(choice).is_identity:
            return 0.0
        bits, total = choice.precision, 0.0
        prefix = f"layers.{layer.number}."
        for name, module in weighted(self.network).items():
            if name.startswith(prefix):
                level = choice.level if name.removeprefix(prefix) in MASKED else DENSE
                total += traces[name].mean * moved(module.weight, bits.weight_bits, level)
                total += read[name][bits.activation_bits]
        return total

    def state_dict(self) -> State:
        """What the vectors asked so far gave."""
        return {"rows": list(self.rows), "sizes": list(self.sizes)}

    def load_state_dict(self, state: State) -> None:
        """Goes on where `state_dict` was taken, bit for bit: the network is the same by then."""
        self.rows = list(state["rows"])
        weights, reads = state["sizes"]
        self.sizes = dict(weights), dict(reads)
