"""Additive prediction: what a network takes is what a call costs, plus what each of its operators costs, plus what
changes of format between them cost.

How far that holds on a real device is in docs/concepts/latency-tables.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from latency.operator import BASE, Operator, with_boundaries
from latency.table import LatencyTable


class LayerLike(Protocol):
    """A searchable position, as `search.space.Layer` is one."""

    @property
    def choices(self) -> Sequence[Any]: ...

    def operator(self, choice: Any, /) -> Operator:
        """The operator that `choice` is here."""
        ...


class SpaceLike(Protocol):
    """What prediction needs of a search space, as `search.space.Space` has it. (`latency` does not import `search`.)"""

    @property
    def layers(self) -> Sequence[LayerLike]: ...
    @property
    def stem_operator(self) -> Operator: ...
    @property
    def head_operator(self) -> Operator: ...


@dataclass(frozen=True, slots=True)
class LayerCosts:
    """Latency of each choice of each layer, (layers, choices of the layer), and of the fixed rest."""

    fixed_us: float
    layers: tuple[tuple[float, ...], ...]

    @property
    def min_us(self) -> float:
        """The least predicted latency that an architecture of the space can have."""
        return self.fixed_us + sum(map(min, self.layers))

    @property
    def max_us(self) -> float:
        """The greatest."""
        return self.fixed_us + sum(map(max, self.layers))


def predict_us(table: LatencyTable, operators: Iterable[Operator]) -> float:
    """Predicted latency of one network of `operators` in order, the base and the boundaries between them included.
    Raises MissingOperator.
    """
    return table.latency_us(BASE) + sum(map(table.latency_us, with_boundaries(operators)))


def layer_costs_us(table: LatencyTable, space: SpaceLike) -> LayerCosts:
    """What each choice of `space` costs by `table`. Raises MissingOperator."""
    return LayerCosts(
        fixed_us=predict_us(table, [space.stem_operator, space.head_operator]),
        layers=tuple(
            tuple(table.latency_us(layer.operator(choice)) for choice in layer.choices) for layer in space.layers
        ),
    )
