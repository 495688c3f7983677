"""The layers of an architecture as rows: what each became, and what that costs."""

from typing import Any

from latency.table import LatencyTable
from search.architecture import Architecture
from search.costs import macs, stored_bytes


def layer_rows(architecture: Architecture, table: LatencyTable | None) -> list[dict[str, Any]]:
    """One row a searchable layer: its `LayerChoice`, operator, multiply-adds, bytes of weights, and latency by
    `table` where there is one.
    """
    pairs = zip(architecture.layers, architecture.layer_operators(), strict=True)
    return [
        {
            "layer": number, **choice.model_dump(), "operator": operator.key, "macs": macs(operator),
            "size_bytes": stored_bytes(operator),
            "latency_us": None if table is None else table.latency_us(operator),
        }
        for number, (choice, operator) in enumerate(pairs)
    ]  # fmt: skip
