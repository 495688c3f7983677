"""The pictures of a report, as SVG that needs no script: widths are in percent, so text keeps its size on any screen.

Colours and fonts are the page's (`page.css`): `.series-N` has the N-th colour. Names are escaped by ElementTree.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree as ET

from search.report.numbers import grouped, percent, places_of

HEIGHT, TOP, BOTTOM = 306.0, 26.0, 262.0  # pixels: of the plot, and where its greatest and least value stand
LEFT, RIGHT = 12.0, 97.0  # percent: where the least and the greatest predicted amount stand
SERIES = 6  # colours and shapes there are; more methods begin anew
SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "M-4 -4h8v8h-8z",
    "M0 -5.2L5 4h-10z",
    "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    "M0 5.2L5 -4h-10z",
    "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
)


class Point(NamedTuple):
    """Mean accuracy (a share) at a predicted amount; `deviation` None where it is of one seed."""

    amount: float
    accuracy: float
    deviation: float | None
    seeds: int


class Series(NamedTuple):
    """The points of a method, from the least amount."""

    name: str
    points: Sequence[Point]


def bar(share: float) -> str:
    """A bar that is `share` of the width long."""
    svg = ET.Element("svg", {"class": "bar", "width": "100%", "height": "6", "aria-hidden": "true"})
    for kind, width in (("track", 1.0), ("fill", share)):
        ET.SubElement(svg, "rect", {"class": kind, "width": f"{100 * width:.2f}%", "height": "6", "rx": "1.5"})
    return _text(svg)


def marker(number: int) -> str:
    """The mark of a series, for a legend."""
    svg = ET.Element("svg", {"class": "marker", "width": "14", "height": "14", "aria-hidden": "true"})
    _mark(ET.SubElement(svg, "g", {"transform": "translate(7 7)"}), number)
    return _text(svg)


def accuracy_plot(series: Sequence[Series], *, amount: str, allowed: float) -> str:
    """Accuracy against a predicted amount, which `amount` names with its unit: a line and marks a method, bars of one
    deviation either way, and a rule at what is `allowed`.
    """
    points = [point for one in series for point in one.points]
    across = _Scale.over([*(p.amount for p in points), allowed], LEFT, RIGHT)
    ends = [p.accuracy + sign * (p.deviation or 0.0) for p in points for sign in (-1, 1)]
    up = _Scale.over(ends, BOTTOM, TOP)
    svg = ET.Element(
        "svg", {"class": "plot", "width": "100%", "height": f"{HEIGHT:g}", "role": "img", "aria-label": _said(series)}
    )
    _axes(svg, across, up, amount)
    x = f"{across.at(allowed):.2f}%"
    _line(svg, "allowed", x, TOP - 8, x, BOTTOM)
    _label(svg, "allowed-label", x, TOP - 14, "allowed", anchor="end" if across.at(allowed) > 50 else "start")
    for number, one in enumerate(series):
        group = ET.SubElement(svg, "g", {"class": f"series-{number % SERIES}"})
        places = [(f"{across.at(p.amount):.2f}%", up.at(p.accuracy)) for p in one.points]
        for (x_from, y_from), (x_to, y_to) in pairwise(places):
            _line(group, "way", x_from, y_from, x_to, y_to)
        for (x, y), point in zip(places, one.points, strict=True):
            _point(group, number, x, y, up, point, f"{one.name}: {_words(point)}, {amount}")
    return _text(svg)


class _Scale(NamedTuple):
    """From values to coordinates, on a line."""

    least: float
    greatest: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Scale":
        least, greatest = min(values), max(values)
        margin = 0.04 * (greatest - least) or 0.05 * abs(greatest) or 1.0
        return cls(least - margin, greatest + margin, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.least) / (self.greatest - self.least) * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Round values within, some `about` of them."""
        rough = (self.greatest - self.least) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(self.least / step), math.floor(self.greatest / step)
        return [number * step for number in range(first, last + 1)]


def _axes(svg: ET.Element, across: _Scale, up: _Scale, amount: str) -> None:
    ticks = up.ticks(5)
    places = _places([100 * tick for tick in ticks])
    for number, tick in enumerate(ticks):
        y = up.at(tick)
        _line(svg, "grid", "0", y, "100%", y)
        unit = " % accuracy" if number == len(ticks) - 1 else ""
        _label(svg, "tick", "0", y - 4, percent(tick, places) + unit, anchor="start")
    _line(svg, "axis", "0", BOTTOM + 8, "100%", BOTTOM + 8)
    ticks = across.ticks(6)
    places = _places(ticks)
    for tick in ticks:
        _label(svg, "tick", f"{across.at(tick):.2f}%", BOTTOM + 22, grouped(tick, places), anchor="middle")
    _label(svg, "tick", "100%", HEIGHT - 2, amount, anchor="end")


def _places(ticks: Sequence[float]) -> int:
    """Decimal places that steps of 1, 2 or 5 times a power of ten need."""
    step = min((after - before for before, after in pairwise(ticks)), default=1.0)
    return max(0, -math.floor(math.log10(step) + 1e-6))


def _point(group: ET.Element, number: int, x: str, y: float, up: _Scale, point: Point, title: str) -> None:
    if point.deviation:
        low, high = up.at(point.accuracy - point.deviation), up.at(point.accuracy + point.deviation)
        _line(group, "spread", x, low, x, high)
    place = ET.SubElement(group, "svg", {"x": x, "y": f"{y:.1f}", "overflow": "visible"})
    mark = _mark(place, number)
    ET.SubElement(mark, "title").text = title


def _mark(parent: ET.Element, number: int) -> ET.Element:
    return ET.SubElement(parent, "path", {"class": f"mark series-{number % SERIES}", "d": SHAPES[number % SERIES]})


def _line(parent: ET.Element, kind: str, x_from: str, y_from: float, x_to: str, y_to: float) -> None:
    ET.SubElement(parent, "line", {"class": kind, "x1": x_from, "y1": f"{y_from:.1f}", "x2": x_to, "y2": f"{y_to:.1f}"})


def _label(parent: ET.Element, kind: str, x: str, y: float, text: str, *, anchor: str) -> None:
    ET.SubElement(parent, "text", {"class": kind, "x": x, "y": f"{y:.1f}", "text-anchor": anchor}).text = text


def _words(point: Point) -> str:
    spread = "one seed" if point.deviation is None else f"± {percent(point.deviation)} over {point.seeds} seeds"
    return f"{percent(point.accuracy)} % ({spread}) at {grouped(point.amount, places_of([point.amount]))}"


def _said(series: Sequence[Series]) -> str:
    return "Accuracy against predicted amount. " + "; ".join(
        f"{one.name}: " + ", ".join(map(_words, one.points)) for one in series
    )


def _text(svg: ET.Element) -> str:
    return ET.tostring(svg, encoding="unicode")
