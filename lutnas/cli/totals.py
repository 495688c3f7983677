"""Totals of constraints for people, whatever their metric."""

import math
from collections.abc import Mapping
from typing import Any

UNITS = {"us": "us", "uj": "uJ", "bytes": "bytes", "macs": "multiply-adds"}
_ROUNDED = {"min": math.ceil, "max": math.floor}


def value(row: Mapping[str, Any], prefix: str) -> str:
    """The value of the field that begins with `prefix`, with its unit: `130.2 us` of `min_us`. A least is rounded up, a
    greatest down, so that either can be asked for as it is shown.
    """
    for unit, name in UNITS.items():
        found = row.get(f"{prefix}_{unit}")
        if found is not None:
            digits = 1 if unit in ("us", "uj") else 0
            rounded = _ROUNDED.get(prefix, round)(found * 10**digits) / 10**digits
            return f"{rounded:,.{digits}f} {name}"
    return "-"


def total(row: Mapping[str, Any]) -> str:
    """What was predicted."""
    return value(row, "predicted")
