"""The report card as one HTML page for people: no script, nothing from elsewhere, what people wrote is escaped."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from latency.table import Provenance
from search.report import drawing
from search.report.card import NETWORK, ComparedRow, FixedRow, LayerRow, Measured, ReportCard
from search.report.drawing import Point, Series
from search.report.figures import Figure, amounts
from search.report.numbers import UNITS_SHOWN, grouped, percent, places_of

BASES: dict[Provenance, str] = {
    "measured": "measured operators",
    "published": "published figures, not measured",
    "simulated": "a simulation, not measured",
}
METRICS = {
    "latency": "latency",
    "energy": "energy of a call",
    "size": "bytes of weights",
    "memory": "bytes of activations",
    "macs": "multiply-adds",
}
WHOLE = ("bytes", "macs")  # units of which nobody wants parts
STORAGE = {
    "float32": "all in 32 bits, dense",
    "dense": "at their own bits, dense",
    "bitmap": "bitmap of non-zeros",
    "csr": "compressed rows (CSR)",
    "auto": "least, weight by weight",
}


def page(card: ReportCard) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("search", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"grouped": grouped, "percent": percent}
    return environment.get_template("page.html").render(
        card=card, network=NETWORK, bases=BASES, metrics=METRICS, storage=STORAGE, units=UNITS_SHOWN,
        amounts=amounts, bar=drawing.bar, marker=drawing.marker, headline=headline(card), basis=_provenance(card),
        parts=[*card.fixed[:2], *card.layers, *card.fixed[2:]], part_name=part_name, shape=shape,
        latency_places=_latency_places(card), greatest_us=max(_latencies_us(card), default=0.0),
        columns=_columns(card), series=_series(card), plot=_plot(card),
        times=lambda row: _times(card, row), settings=list(_flat(card.spec.model_dump(mode="json"))),
    )  # fmt: skip


def headline(card: ReportCard) -> str:
    """What follows the accuracy: `at 103 us predicted of 109 us allowed on pi4`. Where nobody measured what it was
    predicted from, it says so.
    """
    figure = card.budgets[0]
    predicted, maximum, unit = amounts(figure)
    places = 0 if unit in WHOLE else max(0, places_of([predicted, maximum]) - 1)
    said, allowed = (grouped(value, places) for value in (predicted, maximum))
    provenance = _provenance(card).get(figure.name, "measured")  # bytes and multiply-adds need no table
    basis = "" if provenance == "measured" else f" from {BASES[provenance]},"
    where = f" on {figure.device}" if figure.metric in ("latency", "energy") else ""
    shown = UNITS_SHOWN[unit] + (" of activations" if figure.metric == "memory" else "")
    return f"at {said} {shown} predicted{basis} of {allowed} {UNITS_SHOWN[unit]} allowed{where}"


def part_name(part: LayerRow | FixedRow) -> str:
    """What a part of the network is called."""
    return part.name if isinstance(part, LayerRow) else part.part


def shape(part: LayerRow | FixedRow) -> str:
    """What the operator of a part tells that its name does not: of a layer height, width, channels and stride."""
    _, *told = part.operator.split()
    return " ".join(told[:3] if isinstance(part, LayerRow) else told)


def _provenance(card: ReportCard) -> dict[str, Provenance]:
    """Of what predicts a budget, by its name."""
    return {row.budget: row.provenance for row in card.tables}


def _latencies_us(card: ReportCard) -> list[float]:
    return [part.latency_us for part in (*card.fixed, *card.layers) if part.latency_us is not None]


def _latency_places(card: ReportCard) -> int:
    return places_of(_latencies_us(card))


def _columns(card: ReportCard) -> list[tuple[str, str, int]]:
    """Of the budgets in a comparison: name, unit, decimal places."""
    found = []
    for name, unit in ((figure.name, amounts(figure).unit) for figure in card.budgets):
        places = 0 if unit in WHOLE else places_of(row.predicted[name] for row in card.comparison)
        found.append((name, UNITS_SHOWN[unit], places))
    return found


def _series(card: ReportCard) -> list[Series]:
    by_method = groupby(card.comparison, key=lambda row: row.method)
    return [Series(method, sorted(_point(row, card.budgets[0]) for row in rows)) for method, rows in by_method]


def _point(row: ComparedRow, budget: Figure) -> Point:
    return Point(row.predicted[budget.name], row.accuracy.mean, row.accuracy.deviation, len(row.runs))


def _plot(card: ReportCard) -> str:
    if not card.comparison:
        return ""
    figure = card.budgets[0]
    _, maximum, unit = amounts(figure)
    where = f" on {figure.device}" if figure.metric in ("latency", "energy") else ""
    amount = f"predicted {METRICS[figure.metric]}{where}, {UNITS_SHOWN[unit]}"
    return drawing.accuracy_plot(_series(card), amount=amount, allowed=maximum)


def _times(card: ReportCard, row: Measured) -> float | None:
    """How many times as long as the exported network `row` took at the same place; None where that was not timed."""
    own = [other.latency_us for other in card.measured if other.what == NETWORK and other.where == row.where]
    return row.latency_us / own[0] if own else None


def _flat(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their paths, as in `search.epochs` and `constraints[0].max_us`; what is left open is left away."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for number, one in enumerate(value):
                yield from _flat(one, f"{path}{name}[{number}].")
        elif value not in (None, []):
            yield f"{path}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
