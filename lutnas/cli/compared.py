"""`lutnas jobs comparison`."""

import click

from lutnas.cli import output as out
from lutnas.cli.options import connected
from lutnas.cli.output import Output, cell, say
from lutnas.client import Client
from lutnas.client.documents import ComparedNetwork

COLUMNS = ["number", "method", "share", "seed", "state", "worker", "attempt", "step", "before", "after"]


@click.command("comparison")
@click.argument("job")
@connected
def list_compared(client: Client, output: Output, job: str) -> None:
    """List the networks that a job compares, who trains each and how far it is.

    Workers without a job of their own share them. What each was worth before and after its training stands there as
    soon as it is done.
    """
    found = list(client.comparison(job))
    if output.as_json:
        output.document(found)
    elif found:
        out.stdout().print(out.table(COLUMNS, map(_row, found), right=["share", "before", "after"]))
    else:
        say("nothing is compared yet: it begins once the job's own network is trained, where the job has baselines")


def _row(network: ComparedNetwork) -> list[str]:
    shown = {
        **network,
        "share": f"{network['share']:g}",
        "step": f"{network['step']}/{network['steps']}",
        "before": _accuracy(network["before"]),
        "after": _accuracy(network["after"]),
    }
    return [cell(shown[name]) for name in COLUMNS]


def _accuracy(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
