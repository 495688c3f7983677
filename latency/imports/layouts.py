"""The layouts by name, and a file of one of them as a table."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from latency.imports import apq, hwnas, positional, proxyless, tfnas
from latency.imports.collect import Collected, LayoutError
from latency.operator import Operator
from latency.table import LatencyTable, TableInfo

__all__ = ["LAYOUTS", "Imported", "LayoutError", "Unit", "read_layout"]

Unit = Literal["us", "ms"]
UNITS_US: dict[Unit, float] = {"us": 1.0, "ms": 1000.0}
Layers = Sequence[Mapping[str, Operator]]  # the operator of each candidate by name, layer by layer
LAYOUTS: dict[str, Callable[[Any, float, Layers, Collected], None]] = {
    "apq": apq.read,
    "fbnet-positional": positional.read,
    "hw-nas-bench": hwnas.read,
    "proxyless": proxyless.read,
    "tf-nas": tfnas.read,
}


class Imported(NamedTuple):
    """A table, and how many values of the file are not in it, by the reason."""

    table: LatencyTable
    left_out: dict[str, int]


def read_layout(layout: str, text: str, info: TableInfo, *, unit: Unit, layers: Layers = ()) -> Imported:
    """A file of `layout`, one of LAYOUTS, as JSON or YAML. `unit` is that of its values: files do not say. `layers` of
    a space, where values are told by position. Raises LayoutError.
    """
    if layout not in LAYOUTS:
        raise LayoutError(f"{layout!r} is none of the layouts {', '.join(LAYOUTS)}")
    collected = Collected()
    try:
        LAYOUTS[layout](_document(text), UNITS_US[unit], layers, collected)
    except LayoutError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise LayoutError(f"the file cannot be read as {layout}: {error}") from error
    return Imported(LatencyTable(info, collected.entries()), collected.left_out)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        import yaml  # most tables are JSON

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise LayoutError(f"the file is neither JSON nor YAML: {error}") from error
