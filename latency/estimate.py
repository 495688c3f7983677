"""Additive prediction: what a network takes is what a call costs, plus what each of its operators costs, plus what
changes of format between them cost.

How far that holds on a real device is in docs/concepts/latency-tables.md.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from latency.operator import BASE, Operator, with_boundaries
from latency.table import LatencyTable


def predict_us(table: LatencyTable, operators: Iterable[Operator]) -> float:
    """Predicted latency of one network of `operators` in order, the base and the boundaries between them included.
    Raises MissingOperator.
    """
    return table.latency_us(BASE) + sum(map(table.latency_us, with_boundaries(operators)))


class Part(NamedTuple):
    """What one operator of a network takes, with a change of format in front of it: `rows` are both, as a table has
    them.
    """

    operator: Operator
    rows: tuple[Operator, ...]
    latency_us: float


def parts(table: LatencyTable, operators: Iterable[Operator]) -> Iterator[Part]:
    """One an operator, in order: with the base they add up to `predict_us`. Raises MissingOperator."""
    rows: tuple[Operator, ...] = ()
    for operator in with_boundaries(operators):
        rows = (*rows, operator)
        if operator.kind != "boundary":
            yield Part(operator, rows, sum(map(table.latency_us, rows)))
            rows = ()
