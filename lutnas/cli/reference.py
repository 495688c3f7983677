"""docs/reference/cli.md, made of the commands themselves: python -m lutnas.cli.reference > docs/reference/cli.md"""

import inspect
import re
from collections.abc import Iterator

import click

from lutnas.cli.root import cli

HEAD = """# The command `lutnas`

This page is made of the commands' own help: `python -m lutnas.cli.reference > docs/reference/cli.md`.
"""
SHARED = ("--url", "--token", "--token-file", "--json")


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *_sections(cli, "lutnas")]).rstrip() + "\n"


def _sections(command: click.Command, path: str) -> Iterator[str]:
    if path != "lutnas":
        yield f"{'#' * (path.count(' ') + 1)} `{path}`\n"
    yield _prose(command.help or "")
    if path == "lutnas":
        yield "Commands that talk to the service share these:\n"
        yield _table([p for p in _options(cli.commands["devices"], "list") if _is_shared(p)])
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _sections(child, f"{path} {name}")
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join([path, "[OPTIONS]", *(a.human_readable_name.upper() for a in arguments)])
    yield f"```\n{usage}\n```\n"
    options = _options(command)
    own = [p for p in options if not _is_shared(p)]
    if own:
        yield _table(own)
    shared = [f"`{p.opts[0]}`" for p in options if _is_shared(p)]
    if shared:
        yield f"Also {', '.join(shared)}, as above.\n"


def _options(command: click.Command, *path: str) -> list[click.Option]:
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def _is_shared(option: click.Option) -> bool:
    # The --json of `lutnas demo` takes a file: that is another option of the same name.
    return option.opts[0] in SHARED and (option.opts[0] != "--json" or option.is_flag)


def _table(options: list[click.Option]) -> str:
    return "\n".join(["| option | what it does |", "| --- | --- |", *map(_row, options)]) + "\n"


def _row(option: click.Option) -> str:
    context = click.Context(click.Command("lutnas"))
    record = option.get_help_record(context)
    assert record is not None  # hidden options are left out
    spelling, text = record
    return f"| `{spelling.replace('|', ' or ')}` | {text.replace('|', ' or ')} |"


def _prose(text: str) -> str:
    """Help as Markdown: what stands after \\b keeps its lines."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = paragraph.splitlines()
        parts.append("\n".join(["```", *lines[1:], "```"]) if lines[0] == "\b" else " ".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
