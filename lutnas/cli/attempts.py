"""`lutnas jobs attempts` and `lutnas jobs log`."""

import click
from rich.console import Group
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import Failure
from lutnas.cli.options import connected
from lutnas.cli.output import Output, cell, say
from lutnas.client import Client
from lutnas.client.documents import Attempt

COLUMNS = ["number", "worker", "started_at", "ended_at", "ended", "last_step", "reason"]


@click.command("attempts")
@click.argument("job")
@connected
def list_attempts(client: Client, output: Output, job: str) -> None:
    """List who tried to carry a job out and how each attempt ended; below them the traceback of a failure."""
    found = list(client.attempts(job))
    if output.as_json:
        output.document(found)
    elif found:
        traces = [Text(one["traceback"].rstrip()) for one in found if one["traceback"]]
        out.stdout().print(Group(out.table(COLUMNS, map(_row, found)), *traces))
    else:
        say("no attempt: no worker has taken the job yet")


@click.command("log")
@click.argument("job")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Which attempt  [default: the last one]")
@connected
def show_log(client: Client, output: Output, job: str, attempt: int | None) -> None:
    """Print what the worker logged while it ran a job, some seconds old while it does."""
    number = attempt or client.job(job)["attempt"]
    if not number:
        raise Failure(f"no worker has taken {job} yet", hint=f"`lutnas jobs show {job}` shows its state")
    text = client.log(job, number)
    if output.as_json:
        output.document({"job": job, "attempt": number, "log": text})
    else:
        click.echo(text, nl=False)


def _row(attempt: Attempt) -> list[str]:
    problem = attempt["problem"] or {}
    values = {**attempt, "reason": attempt["reason"] or problem.get("detail")}
    return [cell(values[name]) for name in COLUMNS]
