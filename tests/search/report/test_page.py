"""The card as a page: every section is there, nothing comes from elsewhere, and what people wrote stays text."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from latency.table import Provenance
from search.report.drawing import SERIES, Point, Series, accuracy_plot, marker
from search.report.numbers import grouped, places_of
from search.report.page import headline, page
from tests.search.builders import mixed_space
from tests.search.report.cards import card_of, compared_runs, full_card, random_architecture

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SECTIONS = {"budgets", "layers", "storage", "speed", "settings", "origin", "files", "repeat"}
VOID = {"meta", "br"}


class Read(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is not closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    @property
    def sections(self) -> set[str | None]:
        return {attributes["id"] for tag, attributes in self.tags if tag == "section"}

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def test_what_the_float_twin_and_the_float_model_reached_stands_where_there_are_any() -> None:
    full, plain = Read(page(full_card())).words, Read(page(card_of())).words
    for words in ("92.87 of its float twin", "91.98 of model-float.onnx"):
        assert words in full
        assert words[5:] not in plain


def test_a_full_card_has_every_section_and_a_plain_one_leaves_away_what_it_has_not() -> None:
    assert Read(page(full_card())).sections == SECTIONS | {"comparison", "notes"}
    assert Read(page(card_of())).sections == SECTIONS


def test_a_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    found = Read(page(full_card()))
    assert {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "base", "form"} == set()
    attributes = [(name, value or "") for _, held in found.tags for name, value in held.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("href", "src", "style")]
    assert "url(" not in page(full_card())
    policies = [held["content"] for tag, held in found.tags if held.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_what_people_wrote_stays_text() -> None:
    space = mixed_space()
    runs = compared_runs(random_architecture(space).layers, (HOSTILE,))
    spec = {"name": HOSTILE, "labels": {"team": HOSTILE}}
    found = Read(page(full_card(space, spec=spec, compared=runs, notes=(HOSTILE,))))
    assert {tag for tag, _ in found.tags} & {"script", "img"} == set()
    assert found.text.count(HOSTILE) >= 6  # title, name, method in legend and table, note, settings


def test_the_headline_tells_what_was_reached_of_what_is_allowed() -> None:
    card = card_of(predicted={"pi4": 103.2})
    assert headline(card) == "at 103 us predicted of 109 us allowed on pi4"
    assert "91.4 % at 103 us predicted of 109 us allowed on pi4" in Read(page(card)).words


@pytest.mark.parametrize(
    ("constraint", "predicted", "expected"),
    [
        ({"metric": "size", "max_bytes": 3e5}, 281_344.0, "281 344 bytes predicted of 300 000 bytes"),
        ({"metric": "macs", "max": 9e6}, 8.5e6, "8 500 000 multiply-adds predicted of 9 000 000 multiply-adds"),
        ({"metric": "memory", "max_bytes": 900.0}, 800.0, "800 bytes of activations predicted of 900 bytes"),
    ],
)
def test_the_headline_of_other_budgets(constraint: dict[str, Any], predicted: float, expected: str) -> None:
    spec, metric = {"constraints": [constraint]}, str(constraint["metric"])
    card = card_of(spec=spec, predicted={metric: predicted}, with_table=False)
    assert headline(card).replace("\u202f", " ") == f"at {expected} allowed"
    assert "No constraint names a device" in Read(page(card)).text


@pytest.mark.parametrize(
    ("provenance", "said"),
    [("published", "published figures, not measured"), ("simulated", "a simulation, not measured")],
)
def test_what_nobody_measured_says_so_wherever_its_latency_stands(provenance: Provenance, said: str) -> None:
    card = full_card(provenance=provenance)
    assert headline(card).startswith("at ")
    assert f"predicted from {said}, of 109 us allowed" in headline(card)
    words = Read(page(card)).words
    assert words.count(said) == 5  # title, headline, budgets, comparison, bars
    rows = [part for part in (*card.fixed, *card.layers) if part.provenance is not None]
    assert page(card).count(f'<span class="unmeasured">{provenance}</span>') == len(rows) + 1  # each, and all of them
    assert "measured operators" not in words


def test_measured_calls_are_held_against_the_exported_network_at_the_same_place() -> None:
    words = Read(page(full_card())).words
    assert "exported network 101.0 1.00 pi4" in words
    assert "the same in fp32 161.6 1.60 pi4" in words
    assert "the same in fp32 80.0 a laptop" in words
    assert "Nothing was measured" in Read(page(card_of())).words


def test_one_seed_and_runs_without_top5_are_told_as_such() -> None:
    space = mixed_space()
    run, *_ = compared_runs(random_architecture(space).layers)
    words = Read(page(card_of(space, compared=[run.model_copy(update={"top5_after": None})]))).words
    assert "one seed" in words
    assert "top-5" not in words


def test_a_plot_has_a_mark_a_point_a_bar_a_deviation_and_says_it_in_words() -> None:
    series = [
        Series("search", [Point(50.0, 0.9, 0.01, 3), Point(100.0, 0.93, 0.004, 3)]),
        Series("random", [Point(60.0, 0.88, None, 1)]),
    ]
    plot = accuracy_plot(series, amount="predicted latency on pi4, us", allowed=109.0)
    assert (plot.count('class="mark '), plot.count('class="spread"'), plot.count('class="way"')) == (3, 2, 1)
    assert "random: 88.00 % (one seed) at 60.00, predicted latency on pi4, us" in plot
    places = [float(x) for x in re.findall(r'<svg x="([\d.]+)%"', plot)]
    assert places[0] < places[2] < places[1] < 100


def test_points_of_one_value_still_make_a_plot() -> None:
    plot = accuracy_plot([Series("search", [Point(50.0, 0.9, None, 1)])], amount="us", allowed=50.0)
    assert "nan" not in plot


def test_every_series_has_a_mark_of_its_own_until_there_are_no_more() -> None:
    assert len({marker(number) for number in range(SERIES)}) == SERIES
    assert marker(SERIES) == marker(0)


def test_numbers_stand_in_groups_with_as_many_places_as_a_column_needs() -> None:
    assert grouped(1_234_567.0) == "1\u202f234\u202f567"
    assert [places_of([value]) for value in (2000.0, 200.0, 20.0, 2.0, 0.2)] == [0, 1, 2, 3, 4]
