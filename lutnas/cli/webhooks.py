"""`lutnas webhooks`."""

from typing import cast

import click

from lutnas.cli.options import connected
from lutnas.cli.output import Output, say
from lutnas.client import Client
from lutnas.client.documents import Delivery, State

STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]


@click.group()
def webhooks() -> None:
    """URLs that are told what becomes of jobs."""


@webhooks.command("add")
@click.argument("target", metavar="TARGET_URL")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(STATES),
    help="A state of jobs that it is told of; may be given several times  [default: succeeded, failed, cancelled]",
)  # fmt: skip
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@connected
def add_webhook(client: Client, output: Output, target: str, events: tuple[str, ...], description: str) -> None:
    """Tell TARGET_URL what becomes of your jobs. The secret that signs what it is told is printed this once.

    `lutnas.webhooks.verify` checks signatures in Python; other languages have libraries of Standard Webhooks.
    """
    wanted = cast(tuple[State, ...], events) or None
    made = client.webhooks.create(target, events=wanted, description=description)
    output.document(made)
    say(f"the secret cannot be shown again: store it now; `lutnas webhooks ping {made['id']}` tries the way")


@webhooks.command("list")
@connected
def list_webhooks(client: Client, output: Output) -> None:
    """List your webhooks."""
    columns = ["id", "url", "events", "owner", "description", "created_at"]
    output.listing(client.webhooks.list(), columns, nothing="no webhook")


@webhooks.command("ping")
@click.argument("webhook")
@connected
def ping_webhook(client: Client, output: Output, webhook: str) -> None:
    """Send a message that says nothing, to try the way."""
    queued = client.webhooks.ping(webhook)
    output.document(
        queued, f"{queued['id']} is on its way; `lutnas webhooks deliveries {webhook}` tells what came of it"
    )


@webhooks.command("deliveries")
@click.argument("webhook")
@connected
def list_deliveries(client: Client, output: Output, webhook: str) -> None:
    """List what a webhook was told and what waits, newest first."""
    found = list(client.webhooks.deliveries(webhook))
    columns = ["id", "event", "job", "state", "attempts", "last", "next_try_at", "created_at"]
    rows = found if output.as_json else [{**delivery, "last": _last(delivery)} for delivery in found]
    output.listing(rows, columns, nothing="nothing was told")


@webhooks.command("redeliver")
@click.argument("webhook")
@click.argument("delivery")
@connected
def redeliver(client: Client, output: Output, webhook: str, delivery: str) -> None:
    """Send a message once more, under the same id."""
    queued = client.webhooks.redeliver(webhook, delivery)
    output.document(queued, f"{queued['id']} is on its way again")


@webhooks.command("remove")
@click.argument("webhook")
@connected
def remove_webhook(client: Client, output: Output, webhook: str) -> None:
    """Remove a webhook by its id, with its deliveries."""
    client.webhooks.remove(webhook)
    output.document({"webhook": webhook, "removed": True}, f"{webhook} is told nothing any more")


def _last(delivery: Delivery) -> str | None:
    """What became of the newest try."""
    if not delivery["tries"]:
        return None
    newest = delivery["tries"][-1]
    return newest["error"] or str(newest["status"])
