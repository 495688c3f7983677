"""Totals of constraints for people, whatever their metric."""

from collections.abc import Mapping
from typing import Any

UNITS = {"us": "us", "uj": "uJ", "bytes": "bytes", "macs": "multiply-adds"}


def value(row: Mapping[str, Any], prefix: str) -> str:
    """The value of the field that begins with `prefix`, with its unit: `130.2 us` of `min_us`."""
    for unit, name in UNITS.items():
        found = row.get(f"{prefix}_{unit}")
        if found is not None:
            return f"{found:,.1f} {name}" if unit in ("us", "uj") else f"{found:,.0f} {name}"
    return "-"


def total(row: Mapping[str, Any]) -> str:
    """What was predicted."""
    return value(row, "predicted")
