"""The page about events names every phase, and every reason for which a job fails or is refused."""

import re
from pathlib import Path

import pytest

from lutnas.cli.watch import PHASES
from workers.failures import KNOWN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "events.md").read_text()
REFUSALS = {
    name
    for file in (ROOT / "api" / "jobs").glob("*.py")
    for name in re.findall(r"refuse\(\s*\"([a-z-]+)\"", file.read_text())
}


@pytest.mark.parametrize("name", [*PHASES, *sorted(slug for _, slug, _ in KNOWN), *sorted(REFUSALS)])
def test_it_stands_on_the_page_about_events(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_refusals_are_found_in_the_code() -> None:
    assert {"unknown-space", "unreachable-budget", "not-to-be-timed"} <= REFUSALS
