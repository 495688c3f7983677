"""The layers of an architecture as rows: what each became, and what that costs."""

from typing import Any

from latency.estimate import parts
from latency.table import LatencyTable
from search.architecture import Architecture
from search.costs import macs, stored_bytes


def layer_rows(architecture: Architecture, table: LatencyTable | None) -> list[dict[str, Any]]:
    """One row a searchable layer: its `LayerChoice`, operator, multiply-adds, bytes of weights, and latency by
    `table` where there is one, with that of a change of format in front of it.
    """
    triples = zip(
        architecture.layers, architecture.layer_operators(), latencies_us(architecture, table)[1:-1], strict=True
    )
    return [
        {
            "layer": number, **choice.model_dump(), "operator": operator.key, "macs": macs(operator),
            "size_bytes": stored_bytes(operator), "latency_us": latency_us,
        }
        for number, (choice, operator, latency_us) in enumerate(triples)
    ]  # fmt: skip


def latencies_us(architecture: Architecture, table: LatencyTable | None) -> list[float | None]:
    """By `table`, if any, what stem, layers and head take, each with a change of format in front of it: with the call
    they add up to the prediction.
    """
    operators = architecture.operators()
    if table is None:
        return [None] * len(operators)
    return [part.latency_us for part in parts(table, operators)]
