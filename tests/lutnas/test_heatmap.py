"""What `lutnas tables heatmap` draws, on terminals of any width."""

import io
from typing import Any

import pytest
from rich.console import Console

from lutnas.cli.heatmap import _Picture

COLUMNS = [f"k{kernel}_e6 x0.5 w{bits}a8" for kernel in (3, 5, 7) for bits in range(2, 9)]
FOUND: dict[str, Any] = {
    "columns": COLUMNS,
    "layers": [
        {"layer": n, "shape": "14x14 112-112 s1", "latency_us": [1000.0 + 100 * n + c for c in range(len(COLUMNS))]}
        for n in range(3)
    ],
}


def drawn(width: int) -> list[str]:
    told = io.StringIO()
    Console(file=told, width=width, highlight=False).print(_Picture(FOUND))
    return told.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 131, 400])
def test_every_figure_of_every_choice_is_shown_whole_at_any_width(width: int) -> None:
    words = [word for line in drawn(width) for word in line.split()]
    assert [word for word in words if "\N{HORIZONTAL ELLIPSIS}" in word] == []
    assert {f"{value:.4g}" for layer in FOUND["layers"] for value in layer["latency_us"]} <= set(words)
    assert words.count("k3_e6") == words.count("k7_e6") == 7


def test_choices_stand_side_by_side_as_far_as_there_is_room() -> None:
    wide, narrow = drawn(_Picture(FOUND).width), drawn(_Picture(FOUND).width - 1)
    assert len(wide) == 3 + len(FOUND["layers"])
    assert len(narrow) == 2 * len(wide) + 1
    assert max(map(len, wide)) <= _Picture(FOUND).width
