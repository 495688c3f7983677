"""A part of an answer that has no form of its own here."""

from typing import Any

Document = dict[str, Any]
