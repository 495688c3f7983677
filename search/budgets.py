"""From a job's constraints and a device's table to what the search and the derivation hold. Torch-free."""

from latency.estimate import layer_costs_us
from latency.table import LatencyTable
from search.architecture import Architecture
from search.derive import Budget
from search.space import Space


def latency_budget(name: str, space: Space, table: LatencyTable, max_us: float) -> Budget:
    """The latency of `space` by `table`, microseconds: base, stem and head are fixed. Raises
    latency.table.MissingOperator.
    """
    costs = layer_costs_us(table, space)
    return Budget(name, costs.layers, costs.fixed_us, max_us)


def indices_of(architecture: Architecture) -> tuple[int, ...]:
    """The index of each layer's candidate in its space."""
    pairs = zip(architecture.space.layers, architecture.candidates, strict=True)
    return tuple(layer.candidates.index(candidate) for layer, candidate in pairs)
