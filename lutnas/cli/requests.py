"""`lutnas devices request`, `requests`, `cancel`: asking the agent of a device for something."""

import time
from typing import Any

import click
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import ExitCode, Failure
from lutnas.cli.options import connected, key_option
from lutnas.cli.output import Output, say
from lutnas.client import Client, ProblemError, UnreachableError
from lutnas.client.documents import DeviceRequest
from lutnas.client.transport import UNAVAILABLE

KINDS = ["profile", "calibrate", "verify"]
CODES = {"succeeded": ExitCode.OK, "failed": ExitCode.ERROR, "cancelled": ExitCode.CANCELLED}
LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 120.0  # with a service that is away, as `lutnas jobs watch`


@click.command("request")
@click.argument("device")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--space", metavar="NAME", help="profile, calibrate: the search space.")
@click.option("--precision", multiple=True, metavar="NAME", help="profile, calibrate: instead of the space's.")
@click.option("--width", multiple=True, type=float, metavar="SHARE", help="profile, calibrate: instead of the space's.")
@click.option("--runtime", metavar="NAME", help="profile: what runs the operators.")
@click.option("--threads", type=int, metavar="N", help="profile, verify: threads of the runtime.")
@click.option("--seed", type=int, metavar="N", help="profile, calibrate: seed of what is drawn.")
@click.option("--note", help="profile: a line that is kept with the table.")
@click.option("--table", metavar="TABLE", help="calibrate: the table that is held to measurements.")
@click.option("--networks", type=int, metavar="N", help="calibrate: how many networks.")
@click.option("--architecture", metavar="ARCHITECTURE", help="verify: the derived architecture.")
@click.option("--wait", "waits", is_flag=True, help="Stay until it has ended; the exit code is then that of it.")
@key_option("the same key and request again give the first one back")
@connected
def request_of_device(
    client: Client, output: Output, /, device: str, kind: str, waits: bool, key: str | None, **given: Any
) -> int:
    """Ask the agent of DEVICE (`lutnas agent`) to profile, calibrate or verify.

    What is asked is what the commands of these names do. An option that is not given has their default, but for verify,
    which takes onnxruntime and one thread where --threads says nothing else; the service refuses what does not fit.
    """
    spec = {"kind": kind} | {name: value for name, value in given.items() if value not in (None, ())}
    request = client.requests.submit(device, spec, idempotency_key=key)
    if not waits:
        output.document(request, Text(request["id"]))
        say(f"asked; `lutnas devices requests {device}` shows what becomes of it")
        return ExitCode.OK
    say(f"asked {request['id']}")
    try:
        ended = _await(client, request)
    except KeyboardInterrupt:
        hint = f"the request stands: end it with `lutnas devices cancel {request['id']}`"
        raise Failure("stopped waiting", hint=hint, exit_code=ExitCode.INTERRUPTED) from None
    if ended["state"] == "failed":
        say(f"error: {(ended['error'] or {}).get('detail') or 'no reason was given'}")
    output.document(ended, Text(" ".join([ended["state"], *_result(ended)])))
    return CODES[ended["state"]]


@click.command("requests")
@click.argument("device")
@connected
def list_requests(client: Client, output: Output, device: str) -> None:
    """List what DEVICE was asked for, newest first."""
    found = client.requests.of(device)
    if output.as_json:
        output.document(list(found))
        return
    rows = [[one["id"], one["kind"], _state(one), _told(one), one["created_at"]] for one in found]
    if rows:
        out.stdout().print(out.table(["id", "kind", "state", "what came of it", "created_at"], rows))
    else:
        say(f"nothing yet: `lutnas devices request {device} profile --space NAME`")


@click.command("cancel")
@click.argument("request")
@connected
def cancel_request(client: Client, output: Output, request: str) -> None:
    """Ask for a REQUEST's end. A running one ends at its agent's next heartbeat."""
    changed = client.requests.cancel(request)
    asked = f", asked to {changed['asked']}" if changed["asked"] else ""
    output.document(changed, Text(f"{changed['id']} {changed['state']}{asked}"))


def _await(client: Client, request: DeviceRequest) -> DeviceRequest:
    """The request once it has ended. What becomes of it meanwhile is said on stderr."""
    before, heard = "", time.monotonic()
    while request["state"] not in CODES:
        now = _state(request)
        if now != before and request["state"] == "queued":
            say(f"queued: `lutnas agent --device {request['device']}` on the device takes it")
        elif now != before:
            say(now)
        before = now
        time.sleep(LOOK_SECONDS)
        request, heard = _look(client, request, heard)
    return request


def _look(client: Client, request: DeviceRequest, heard: float) -> tuple[DeviceRequest, float]:
    """The request as it is now, and when the service was last heard: it goes on while the service restarts."""
    try:
        return client.requests.get(request["id"]), time.monotonic()
    except (UnreachableError, ProblemError) as error:
        away = isinstance(error, UnreachableError) or error.status in UNAVAILABLE
        if not away or time.monotonic() - heard >= PATIENCE_SECONDS:
            raise
        return request, heard


def _state(request: DeviceRequest) -> str:
    if request["state"] != "running":
        return request["state"]
    if request["silent"]:
        return "running, but its agent fell silent"
    return "running" + (f", asked to {request['asked']}" if request["asked"] else "")


def _told(request: DeviceRequest) -> str:
    """The result, the reason, or how far it is."""
    if request["error"]:
        return " ".join(str(request["error"].get("detail", "")).split())
    if request["result"]:
        return " ".join(_result(request))
    progress = request["progress"]
    if request["state"] != "running" or not progress.get("total"):
        return "-"
    share = (progress.get("done") or 0) / progress["total"]
    return f"{share:.0%}, {out.duration(progress.get('seconds_left'))} left"


def _result(request: DeviceRequest) -> list[str]:
    result = {name: value for name, value in (request["result"] or {}).items() if value is not None}
    return [f"{name}={out.cell(value)}" for name, value in result.items()]
