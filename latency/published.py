"""Tables that follow from published throughput: multiply-adds a cycle of a core, by bits. For any space.

    table = published_table(MPIC, {o: macs(o) for o in space.operators()}, clock_mhz=100)

Nobody timed these operators: one rate stands for every convolution, a depthwise one included, and memory costs nothing.
Rows say so (provenance `published`). Such a table ranks precisions and widths; it promises no milliseconds.

Errors:
    UnpublishedPrecision (ValueError)   operators in bits that the core has no figure for; `.operators` are they
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable, TableInfo


class Core(NamedTuple):
    """A processor core; `macs_per_cycle` by (activation bits, weight bits)."""

    name: str
    macs_per_cycle: Mapping[tuple[int, int], float]
    source: str


MPIC = Core(
    "mpic",
    {
        (8, 8): 2.1, (8, 4): 2.3, (8, 2): 2.5,
        (4, 8): 2.1, (4, 4): 3.5, (4, 2): 3.9,
        (2, 8): 2.2, (2, 4): 4.0, (2, 2): 6.5,
    },
    "Ottavi 2020, arXiv:2010.04073",
)  # fmt: skip


class UnpublishedPrecision(ValueError):
    """The core has no figure for the bits of `operators`."""

    def __init__(self, core: Core, operators: Sequence[Operator]) -> None:
        known = ", ".join(f"w{weight}a{activation}" for activation, weight in core.macs_per_cycle)
        super().__init__(
            f"{core.name} has figures for {known} alone, not for {operators[0].key}"
            + (f" and {len(operators) - 1} more" if len(operators) > 1 else "")
            + ": choose among those for layers and ends"
        )
        self.operators = tuple(operators)


def published_table(core: Core, macs: Mapping[Operator, int], *, clock_mhz: float) -> LatencyTable:
    """Latency of each operator of `macs` (multiply-adds of one picture): macs / macs_per_cycle / clock_mhz, in
    microseconds. A call costs nothing of its own. Raises UnpublishedPrecision.
    """
    if clock_mhz <= 0:
        raise ValueError(f"clock_mhz: {clock_mhz:g} is not above 0")
    rates = {o: core.macs_per_cycle.get((o.activation_bits, o.weight_bits)) for o, count in macs.items() if count}
    unknown = [operator for operator, rate in rates.items() if rate is None]
    if unknown:
        raise UnpublishedPrecision(core, unknown)
    info = TableInfo(
        device=core.name, runtime="published", threads=1, batch=1, note=f"{core.source}; at {clock_mhz:g} MHz"
    )
    free = Entry(0.0, provenance="published")
    rows = {o: Entry(macs[o] / rate / clock_mhz, provenance="published") for o, rate in rates.items() if rate}
    return LatencyTable(info, {**dict.fromkeys([BASE, *macs], free), **rows})
