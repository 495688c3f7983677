"""How the environments differ that two runs recorded (`workers.environment`)."""

from collections.abc import Mapping
from typing import Any


def differences(first: Mapping[str, Any], again: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, first and second value of what is not the same; None for what one does not tell."""
    names = [name for name in {**first, **again} if first.get(name) != again.get(name)]
    return [{"name": name, "first": first.get(name), "again": again.get(name)} for name in names]
