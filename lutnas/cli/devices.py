"""`lutnas devices`."""

import click

from lutnas.cli.labels import LABEL, SHAPE, Label
from lutnas.cli.options import connected
from lutnas.cli.output import Output
from lutnas.cli.requests import cancel_request, list_requests, request_of_device
from lutnas.client import Client


@click.group()
def devices() -> None:
    """Devices that networks are searched for."""


for command in (request_of_device, list_requests, cancel_request):
    devices.add_command(command)


@devices.command("list")
@connected
def list_devices(client: Client, output: Output) -> None:
    """List all devices."""
    columns = ["name", "id", "description", "labels", "created_at"]
    output.listing(client.devices(), columns, nothing="no device yet: `lutnas devices create NAME`")


@devices.command("create")
@click.argument("name")
@click.option("--description", default="", help="What it is, for people.")
@click.option("--label", "labels", type=LABEL, multiple=True, metavar=SHAPE, help="A label; may come several times.")
@connected
def create_device(client: Client, output: Output, name: str, description: str, labels: tuple[Label, ...]) -> None:
    """Register a device."""
    output.document(client.create_device(name, description=description, labels=dict(labels)))


@devices.command("show")
@click.argument("device")
@connected
def show_device(client: Client, output: Output, device: str) -> None:
    """Show one device, by name or id."""
    output.document(client.device(device))
