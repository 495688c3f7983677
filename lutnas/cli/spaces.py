"""`lutnas spaces`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

import click

from latency.operator import Operator
from lutnas.cli.jsonfile import read_json
from lutnas.cli.options import connected
from lutnas.cli.output import Output
from lutnas.client import Client


@click.group()
def spaces() -> None:
    """Search spaces: what a network may be built of."""


@spaces.command("list")
@connected
def list_spaces(client: Client, output: Output) -> None:
    """List all search spaces: those that come with lutnas, and own ones."""
    output.listing(client.spaces(), ["name", "input", "classes", "note"], nothing="no search space")


@spaces.command("show")
@click.argument("name")
@connected
def show_space(client: Client, output: Output, name: str) -> None:
    """Show one search space."""
    output.document(client.space(name))


@spaces.command("create")
@click.argument("file", type=click.File("rb"))
@connected
def create_space(client: Client, output: Output, file: IO[bytes]) -> None:
    """Add a search space from a JSON file; - reads standard input."""
    output.document(client.create_space(read_json(file)))


@spaces.command("operators")
@click.argument("name")
@connected
def show_operators(client: Client, output: Output, name: str) -> None:
    """List what a device has to be timed on for a search space.

    With --json the answer is what `lutnas profile --operators FILE` reads.
    """
    operators = client.operators(name)
    if output.as_json:
        output.document(operators_document(name, operators))
    else:
        output.listing([{"operator": o.key} for o in operators], ["operator"], nothing="no operators")


def operators_document(space: str, operators: list[Operator]) -> Mapping[str, Any]:
    """The document that carries a space's operators to a device that has no way to the service."""
    return {"space": space, "operators": [asdict(o) for o in operators]}
