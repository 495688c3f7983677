"""The pages for people name what the command has."""

import re
from pathlib import Path

import click
import pytest

from lutnas.cli import cli
from lutnas.cli.reference import reference

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = ["getting-started.md", "devices-and-tables.md", "retargeting.md", "access.md", "../../README.md"]


def test_the_reference_of_the_command_is_current() -> None:
    made = "make it with: python -m lutnas.cli.reference > docs/reference/cli.md"
    assert (DOCS / "reference" / "cli.md").read_text() == reference(), made


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_and_option_in_a_guide_exists(guide: str) -> None:
    text = (DOCS / "guides" / guide).read_text()
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    calls = [
        line for block in blocks for line in block.replace("\\\n", " ").splitlines() if re.match(r"\$? ?lutnas ", line)
    ]
    assert calls
    for call in calls:
        words = call.lstrip("$ ").split("#")[0].split("|")[0].split(">")[0].split()[1:]
        command: click.Command = cli
        while isinstance(command, click.Group):
            assert words[0] in command.commands, call
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known | {"--help"}, call
