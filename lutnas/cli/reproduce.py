"""`lutnas jobs reproduce` and `lutnas jobs reproduction`."""

import click
from rich.console import Group
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import ExitCode, Failure
from lutnas.cli.options import connected, key_option
from lutnas.cli.output import Output, cell, say
from lutnas.cli.watch import code_of, watched
from lutnas.client import Client
from lutnas.client.documents import FINAL_STATES, Job, Reproduction

SHOWN_OF_SHA256 = 12


@click.command("reproduce")
@click.argument("job")
@click.option("--no-wait", is_flag=True, help="Submit and leave; `lutnas jobs reproduction` tells later.")
@key_option("the same key again gives the first repetition back")
@connected
def reproduce_job(client: Client, output: Output, job: str, no_wait: bool, key: str | None) -> int:
    """Run a job that succeeded once more and tell whether the same comes out; exit code 1 if not.

    The new job has exactly the inputs of the first: tables, corrections, data, pretrained weights, thread count. It is
    refused where one is gone or changed. Compared are architecture.json, weights.safetensors, model.onnx and
    evidence.json. With --json every line is a JSON document: the new job, its events, the job as it ended, and last the
    verdict (with "same").
    """
    again = client.reproduce(job, idempotency_key=key)
    if no_wait:
        output.document(again, Text(again["id"]))
        say(f"submitted; `lutnas jobs reproduction {again['id']}` tells whether it came out the same")
        return ExitCode.OK
    if output.as_json:
        output.line(again)
    else:
        say(f"submitted {again['id']}")
    ended = watched(client, output, again)
    if ended["state"] != "succeeded":
        return code_of(ended)
    verdict = client.reproduction(again["id"])
    if output.as_json:
        output.line(verdict)
    else:
        _show(verdict, again)
    return ExitCode.OK if verdict["same"] else ExitCode.ERROR


@click.command("reproduction")
@click.argument("job")
@connected
def show_reproduction(client: Client, output: Output, job: str) -> int:
    """Tell whether a job that repeats another came out the same; exit code 1 if not."""
    verdict = client.reproduction(job)
    if verdict["same"] is None:
        ends = verdict["state"] in FINAL_STATES
        hint = f"`lutnas jobs show {job}` tells why" if ends else f"`lutnas jobs watch {job}` waits for its end"
        raise Failure(f"{job} is {verdict['state']}, there is nothing to compare", hint=hint)
    if output.as_json:
        output.document(verdict)
    else:
        _show(verdict, client.job(job))
    return ExitCode.OK if verdict["same"] else ExitCode.ERROR


def _show(verdict: Reproduction, again: Job) -> None:
    """The files side by side; where they differ, the environments too."""
    pair = [verdict["reproduces"], verdict["job"]]
    files = [
        [file["name"], cell(file["same"]), _short(file["first"]), _short(file["again"])] for file in verdict["files"]
    ]
    shown = [out.table(["file", "same", *pair], files)]
    environment = verdict["environment"]
    if environment:
        rows = [[one["name"], cell(one["first"]), cell(one["again"])] for one in environment]
        shown.append(out.table(["environment", *pair], rows))
    out.stdout().print(Group(*shown, Text("the same" if verdict["same"] else "not the same")))
    if verdict["same"]:
        return
    if environment is None:
        say("a report.json cannot be read, so nothing is known of where the two ran")
    elif environment:
        say("they ran in different environments: equal bits need all of these to be equal")
    elif again["spec"].get("on_device") is not None:
        say("devices timed networks for each of the two, and what they measured may have chosen another network")
    else:
        say("they ran in the same environment: this should not be, so please report it")


def _short(sha256: str | None) -> str:
    return "-" if sha256 is None else sha256[:SHOWN_OF_SHA256]
