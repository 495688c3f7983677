"""The options that commands share, and the client that comes of them."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from lutnas import settings
from lutnas.cli.output import Output
from lutnas.client import Client

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print data as JSON on stdout.")
existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
new_file = click.Path(dir_okay=False, path_type=Path)
folder = click.Path(file_okay=False, path_type=Path)

seed_range = click.IntRange(0, 2**31 - 1)
LONGEST_KEY = 200
LONGEST_NOTE = 1000  # of 2000 that a table keeps: commands add what they know themselves


def _whole_note(_context: click.Context, _parameter: click.Parameter, note: str) -> str:
    if len(note) > LONGEST_NOTE:  # said before minutes are spent on what it is about
        raise click.BadParameter(f"has {len(note)} characters, of which {LONGEST_NOTE} are taken")
    return note


def _plain_key(_context: click.Context, _parameter: click.Parameter, key: str | None) -> str | None:
    # Of an empty one, of a variable that is not set, the client would make a new key each time.
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise click.BadParameter(f"1 to {LONGEST_KEY} printable ASCII characters are needed")
    return key


def _not_empty(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    # Of a variable that is not set: another service would be asked, or with another token.
    if value == "":
        raise click.BadParameter("is empty: leave it out, or give it a value")
    return value


def note_option(what: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Adds --note, a line about `what`."""
    return click.option("--note", default="", callback=_whole_note, help=f"A line about {what}, kept with the table.")


def key_option(what: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Adds --key, under which `what` happens once."""
    return click.option("--key", callback=_plain_key, metavar="TEXT", help=f"Idempotency key: {what}.")


def connection_options(function: Callable[..., R]) -> Callable[..., R]:
    """Adds --url, --token and --token-file."""
    url = click.option("--url", callback=_not_empty, metavar="URL", help="Address of the service.")
    token = click.option(
        "--token", callback=_not_empty, metavar="TOKEN",
        help="Token of the service; other users of this machine can see it here.",
    )  # fmt: skip
    file = click.option("--token-file", type=existing_file, metavar="FILE", help="File that holds the token.")
    return url(token(file(function)))


def connect(url: str | None, token: str | None, token_file: Path | None, **more: Any) -> Client:
    """A client of the service that flags, environment and config file name; `more` is for `Client`."""
    found = settings.resolve(os.environ, url=url, token=token, token_file=token_file)
    return Client(found.url, found.token, team=found.team, **more)


def connected(function: Callable[Concatenate[Client, Output, P], R]) -> Callable[..., R]:
    """Gives a command's function a client and an output as its first arguments, and adds the options for them."""

    @functools.wraps(function)
    def command(
        *args: Any, url: str | None, token: str | None, token_file: Path | None, as_json: bool, **kwargs: Any
    ) -> R:
        with connect(url, token, token_file) as client:
            return function(client, Output(as_json), *args, **kwargs)

    return connection_options(json_option(command))
