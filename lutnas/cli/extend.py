"""`lutnas jobs extend`."""

import click
from rich.text import Text

from lutnas.cli.options import connected, key_option
from lutnas.cli.output import Output, say
from lutnas.client import Client


@click.command("extend")
@click.argument("job")
@click.option("--epochs", required=True, type=click.IntRange(1, 1000), help="Epochs to train its network for.")
@click.option(
    "--lr", type=click.FloatRange(0, 10, min_open=True),
    help="Learning rate to begin with  [default: 0.3 times finish.lr of the search]",
)  # fmt: skip
@key_option("the same key and options again give the first job back")
@connected
def extend_job(client: Client, output: Output, job: str, epochs: int, lr: float | None, key: str | None) -> None:
    """Train the network of a job that succeeded for more epochs, as a new job.

    It starts from the weights that the job left, whose results stay as they are. The learning rate goes down to 0 along
    a cosine once more. Refused where the weights, the tables or the data are gone or changed.
    """
    made = client.extend(job, finish_epochs=epochs, lr=lr, idempotency_key=key)
    output.document(made, Text(made["id"]))
    say(f"submitted; `lutnas jobs watch {made['id']}` follows it")
