"""`lutnas jobs`."""

from collections.abc import Callable
from typing import IO

import click
from rich.console import Group
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.attempts import list_attempts, show_log
from lutnas.cli.compared import list_compared
from lutnas.cli.derive import derive_job
from lutnas.cli.extend import extend_job
from lutnas.cli.failure import ExitCode, where
from lutnas.cli.jsonfile import read_json
from lutnas.cli.labels import LABEL, SHAPE, Label
from lutnas.cli.options import connected, key_option
from lutnas.cli.output import Output, say
from lutnas.cli.reproduce import reproduce_job, show_reproduction
from lutnas.cli.totals import value
from lutnas.cli.watch import watch
from lutnas.client import Client
from lutnas.client.documents import Forecast, Job, Validation

STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]


@click.group()
def jobs() -> None:
    """Search jobs."""


@jobs.command("submit")
@click.argument("file", type=click.File("rb"))
@click.option("--watch", "watched", is_flag=True, help="Stay and watch it; the exit code is then that of the job.")
@key_option("the same key and job again give the first job back")
@connected
def submit_job(client: Client, output: Output, file: IO[bytes], watched: bool, key: str | None) -> int:
    """Submit a search job from a JSON file; - reads standard input."""
    job = client.submit(read_json(file), idempotency_key=key)
    if not watched:
        output.document(job, Text(job["id"]))
        say(f"submitted; `lutnas jobs watch {job['id']}` follows it")
        return ExitCode.OK
    if output.as_json:
        output.line(job)
    else:
        say(f"submitted {job['id']}")
    return watch(client, output, job)


@jobs.command("validate")
@click.argument("file", type=click.File("rb"))
@connected
def validate_job(client: Client, output: Output, file: IO[bytes]) -> int:
    """Check a job without submitting it; exit code 1 if it would be refused.

    Also tells the least and the greatest that can be reached for each constraint, and the time and the memory that the
    job is expected to take.
    """
    answer = client.validate(read_json(file))
    if output.as_json:
        output.document(answer)
    else:
        _show_validation(answer)
    return ExitCode.OK if answer["valid"] else ExitCode.ERROR


@jobs.command("watch")
@click.argument("job")
@click.option("--after", default=0, metavar="N", help="Leave out events up to number N.")
@connected
def watch_job(client: Client, output: Output, job: str, after: int) -> int:
    """Follow a job until it ends or is paused; the exit code is that of the job.

    It goes on after a broken connection. Ctrl-C ends the watching, not the job. With --json every line is a JSON
    document: the events (with "kind"), and last the job (with "state").
    """
    return watch(client, output, client.job(job), after=after)


@jobs.command("show")
@click.argument("job")
@connected
def show_job(client: Client, output: Output, job: str) -> None:
    """Show one job."""
    output.document(client.job(job))


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--label", type=LABEL, metavar=SHAPE, help="Only jobs with this label.")
@connected
def list_jobs(client: Client, output: Output, state: str | None, label: Label | None) -> None:
    """List jobs."""
    found = client.jobs(state=state, label=None if label is None else ":".join(label))
    if output.as_json:
        output.document(list(found))
        return
    rows = [_row(job) for job in found]
    if rows:
        out.stdout().print(out.table(["id", "name", "state", "space", "dataset", "progress", "created_at"], rows))
    else:
        say("no job")


@jobs.command("clone")
@click.argument("job")
@click.option("--patch", type=click.File("rb"), help="JSON file that changes the document (RFC 7396); - reads stdin.")
@key_option("the same key and patch again give the first clone back")
@connected
def clone_job(client: Client, output: Output, job: str, patch: IO[bytes] | None, key: str | None) -> None:
    """Submit a job's document once more, with the tables and the data of today.

    In a patch null takes a field back to its default, and a list replaces a list. `lutnas jobs reproduce` repeats a job
    with the inputs that it had.
    """
    made = client.clone(job, None if patch is None else read_json(patch), idempotency_key=key)
    output.document(made, Text(made["id"]))
    say(f"submitted; `lutnas jobs watch {made['id']}` follows it")


@jobs.command("cancel")
@click.argument("job")
@connected
def cancel_job(client: Client, output: Output, job: str) -> None:
    """Ask for a job's end. A running one ends at its next step."""
    _show_change(output, client.cancel, job)


@jobs.command("pause")
@click.argument("job")
@connected
def pause_job(client: Client, output: Output, job: str) -> None:
    """Ask a job to stop at its next step and to keep its checkpoint."""
    _show_change(output, client.pause, job)


@jobs.command("resume")
@click.argument("job")
@connected
def resume_job(client: Client, output: Output, job: str) -> None:
    """Queue a paused job again."""
    _show_change(output, client.resume, job)


for command in (list_attempts, show_log, list_compared, derive_job, extend_job, reproduce_job, show_reproduction):
    jobs.add_command(command)


def _show_change(output: Output, change: Callable[[str], Job], job: str) -> None:
    changed = change(job)
    asked = f", asked to {changed['asked']}" if changed.get("asked") else ""
    output.document(changed, Text(f"{changed['id']} {changed['state']}{asked}"))


def _row(job: Job) -> list[str]:
    progress = job["progress"]
    share = f"{progress['phase']} {progress['step']}/{progress['steps']}" if progress.get("steps") else "-"
    spec = job["spec"]
    return [job["id"], job["name"], job["state"], spec["space"], spec["dataset"], share, job["created_at"]]


def _show_validation(answer: Validation) -> None:
    lines = [Text(f"error: {where(error)}") for error in answer["errors"]]
    rows = [
        [r["name"], r["metric"], r.get("table", "-"), value(r, "min"), value(r, "max")] for r in answer["reachable"]
    ]
    columns = ["constraint", "metric", "table", "least", "greatest"]
    verdict = Text("valid" if answer["valid"] else "would be refused")
    reachable = [out.table(columns, rows, right=columns[3:])] if rows else []
    count = answer["architectures"]
    size = [] if count is None else [Text(f"{count:,} architectures")]
    out.stdout().print(Group(*lines, *reachable, *size, *_expected(answer.get("forecast")), verdict))


def _expected(forecast: Forecast | None) -> list[Text]:
    if forecast is None:
        return []
    seconds, memory = out.duration(forecast["expected_seconds"]), forecast["expected_memory_bytes"] / 1e9
    return [Text(f"expected: {seconds}, {memory:.1f} GB of memory ({forecast['rests_on']})")]
