"""Paths of the API."""

from urllib.parse import quote


def path_of(*parts: str) -> str:
    """The path below /v1 whose parts these are, whatever they hold; half a surrogate stands as a question mark."""
    return "/v1/" + "/".join(quote(part, safe="", errors="replace") for part in parts)
