"""Numbers as the page has them: thousands apart, as many places as a column needs, shares in percent."""

from collections.abc import Iterable

THIN = "\u202f"  # a narrow space at which no line breaks
UNITS_SHOWN = {"us": "us", "uj": "uJ", "bytes": "bytes", "macs": "multiply-adds"}


def grouped(value: float, places: int = 0) -> str:
    """`1 234 567`, with `places` decimal places."""
    return f"{value:,.{places}f}".replace(",", THIN)


def percent(share: float, places: int = 2) -> str:
    """A share in percent, without the sign."""
    return f"{100 * share:.{places}f}"


def places_of(values: Iterable[float]) -> int:
    """Decimal places that tell the values of a column apart: four figures of the greatest."""
    greatest = max(values, default=0.0)
    for places, bound in enumerate((1000, 100, 10, 1)):
        if greatest >= bound:
            return places
    return 4
