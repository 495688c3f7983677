"""What the command prints: data on stdout, as JSON or as tables for people; talk and progress on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

PIPED_WIDTH = 240  # wide enough that no id is cut where no terminal sets the width


def say(text: str) -> None:
    """One line of talk, on stderr."""
    click.echo(text, err=True)


@dataclass(frozen=True)
class Output:
    """Prints the data of a command: one JSON document with `--json`, else something for people."""

    as_json: bool

    def document(self, document: Any, shown: RenderableType | None = None) -> None:
        """Prints one document; people see `shown`, or its fields."""
        if self.as_json:
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            stdout().print(fields(document) if shown is None else shown)

    def line(self, document: Any) -> None:
        """Prints one JSON document on a line of its own, at once."""
        click.echo(json.dumps(document, ensure_ascii=False))
        sys.stdout.flush()

    def listing(self, rows: Iterable[Any], columns: Sequence[str], *, nothing: str) -> None:
        """Prints a list: an array in JSON, for people a table of `columns`; `nothing` is said where it is empty."""
        found = list(rows)
        if self.as_json:
            click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        elif found:
            stdout().print(table(columns, [[cell(row.get(column)) for column in columns] for row in found]))
        else:
            say(nothing)


def stdout() -> Console:
    """Console for data."""
    # `sys.stdout` is looked up at each call: a test, or a pipe, may have changed it.
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def stderr() -> Console:
    """Console for talk and progress."""
    return Console(stderr=True, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; `right` names the columns of numbers."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def fields(document: dict[str, Any]) -> Table:
    """A document as a table of its fields."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for name, value in document.items():
        drawn.add_row(name, cell(value))
    return drawn


def cell(value: Any) -> str:
    """A value as one cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and set(value) == {"channels", "height", "width"}:
        return f"{value['channels']}x{value['height']}x{value['width']}"
    if isinstance(value, dict) and all(isinstance(v, str | int | float) for v in value.values()):
        return ", ".join(f"{k}={cell(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(map(cell, value)) or "-"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float | None) -> str:
    """Seconds for people: `48 s`, `3 min 05 s`, `2 h 10 min`, or `-` where nobody knows."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def progress(*more: str | ProgressColumn) -> Progress:
    """A progress bar on stderr: what, bar, share, time left."""
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), *more]
    return Progress(*columns, TimeRemainingColumn(), console=stderr(), transient=True)
