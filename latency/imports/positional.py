"""FBNet's tables by position: a list with an entry a layer, null where nothing is searched, of one value a candidate.

Candidates stand in the order k3_e1, k3_e1_g2, k3_e3, k3_e6, k5_e1, k5_e1_g2, k5_e3, k5_e6, skip; the last is missing
where a skip would change the shape (jh88/fbnet).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from latency.imports.collect import Collected, LayoutError
from latency.operator import Operator

CANDIDATES = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")


def read(document: Any, us: float, layers: Sequence[Mapping[str, Operator]], collected: Collected) -> None:
    """`us` microseconds are the file's unit. Raises LayoutError."""
    if not isinstance(document, list):
        raise LayoutError("the file is no list with an entry for each layer")
    rows = [(number, row) for number, row in enumerate(document) if row is not None]
    if len(rows) != len(layers):
        raise LayoutError(
            f"the file has {len(rows)} layers with values, the space {len(layers)}: name the space it is of"
        )
    for (number, row), operators in zip(rows, layers, strict=True):
        if not isinstance(row, list) or len(row) not in (len(CANDIDATES) - 1, len(CANDIDATES)):
            raise LayoutError(f"[{number}]: has no list of {len(CANDIDATES)} values, or one less where skip is none")
        for place, (name, value) in enumerate(zip(CANDIDATES, row, strict=False)):
            if name in operators:
                collected.add(operators[name], value * us if _is_number(value) else value, f"[{number}][{place}]")
            else:
                collected.leave_out(f"{name}: no candidate of this layer")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
