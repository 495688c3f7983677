"""`lutnas datasets`."""

from pathlib import Path

import click

from lutnas.cli.options import connected, existing_file
from lutnas.cli.output import Output
from lutnas.client import Client


@click.group()
def datasets() -> None:
    """Data sets that networks are trained on."""


@datasets.command("list")
@connected
def list_datasets(client: Client, output: Output) -> None:
    """List all data sets: built-in ones and own ones."""
    output.listing(client.datasets(), ["name", "input", "classes", "examples"], nothing="no data set")


@datasets.command("show")
@click.argument("name")
@connected
def show_dataset(client: Client, output: Output, name: str) -> None:
    """Show one data set."""
    output.document(client.dataset(name))


@datasets.command("upload")
@click.argument("name")
@click.argument("file", type=existing_file)
@connected
def upload_dataset(client: Client, output: Output, name: str, file: Path) -> None:
    """Upload a data set.

    FILE is an .npz with x_train, y_train, x_test, y_test (or x, y), or a .zip, .tar or .tar.gz of pictures in folders:
    train/CLASS/PICTURE and test/CLASS/PICTURE, or CLASS/PICTURE. Without a test part a fifth of the
    examples becomes one, the same each time.
    """
    output.document(client.upload_dataset(name, file))
