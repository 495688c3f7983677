"""Additive prediction: what a network takes is what a call costs, plus what each of its operators costs, plus what
changes of format between them cost.

How far that holds on a real device is in docs/concepts/latency-tables.md.
"""

from collections.abc import Iterable

from latency.operator import BASE, Operator, with_boundaries
from latency.table import LatencyTable


def predict_us(table: LatencyTable, operators: Iterable[Operator]) -> float:
    """Predicted latency of one network of `operators` in order, the base and the boundaries between them included.
    Raises MissingOperator.
    """
    return table.latency_us(BASE) + sum(map(table.latency_us, with_boundaries(operators)))
