"""From a job's constraints and a device's table to what the search and the derivation hold. Torch-free."""

from latency.estimate import layer_costs_us
from latency.table import LatencyTable
from search.derive import Budget
from search.space import Space


def latency_budget(name: str, space: Space, table: LatencyTable, max_us: float) -> Budget:
    """The latency of `space` by `table`, microseconds: base, stem and head are fixed. Raises
    latency.table.MissingOperator.
    """
    costs = layer_costs_us(table, space)
    return Budget(name, costs.layers, costs.fixed_us, max_us)
