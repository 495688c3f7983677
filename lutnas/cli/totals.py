"""Totals of constraints for people, whatever their metric."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

UNITS = {"us": "us", "uj": "uJ", "bytes": "bytes", "macs": "multiply-adds"}
_ROUNDED = {"min": ROUND_CEILING, "max": ROUND_FLOOR}


def value(row: Mapping[str, Any], prefix: str) -> str:
    """The value of the field that begins with `prefix`, with its unit: `130.2 us` of `min_us`. A least is rounded up, a
    greatest down, so that either can be asked for as it is shown.
    """
    for unit, name in UNITS.items():
        found = row.get(f"{prefix}_{unit}")
        if found is not None:
            digits = 1 if unit in ("us", "uj") else 0
            rounded = _rounded(found, digits, _ROUNDED.get(prefix, ROUND_HALF_EVEN))
            if prefix == "max":  # what all take alike may lie between two that are shown
                rounded = max(rounded, _rounded(row[f"min_{unit}"], digits, ROUND_CEILING))
            return f"{rounded:,.{digits}f} {name}"
    return "-"


def _rounded(value: float, digits: int, rounding: str) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), rounding)


def total(row: Mapping[str, Any]) -> str:
    """What was predicted."""
    return value(row, "predicted")
