"""What an agent does with a request: the same as `lutnas profile --upload`, `lutnas calibrate`, `lutnas verify`; and
networks that a job asks about are timed as those of a calibration.
"""

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from lutnas.cli.calibrate import time_network, time_networks
from lutnas.cli.failure import Failure, describe
from lutnas.cli.output import say
from lutnas.cli.profile import DraftRefused, Watch, measure, send
from lutnas.cli.verify import time_architecture
from lutnas.client import Client, LutnasError, ProblemError, UnreachableError
from lutnas.client.documents import DeviceRequest, Document

PAUSE_SECONDS = 2.0  # before something is sent again
Sleep = Callable[[float], None]


def answer(client: Client, request: DeviceRequest, watch: Watch, *, folder: Path, sleep: Sleep) -> Document:
    """Does what is asked on this machine, sends it to the service, and gives what names it there.

    A profile keeps what was timed so far in `folder`, which has nothing of earlier requests then: they came to their
    end. Raises what the commands do, and what `watch` raises.
    """
    match request["kind"]:
        case "profile":
            return _profile(client, request, watch, folder)
        case "calibrate":
            return _calibrate(client, request["spec"], watch, sleep)
        case "verify":
            return _verify(client, request, watch, sleep)
        case "time":
            return _time(client, request["spec"], watch)
    raise Failure(f"this lutnas does not know how to {request['kind']}", hint="install the service's version here")


def _profile(client: Client, request: DeviceRequest, watch: Watch, folder: Path) -> Document:
    spec, draft = request["spec"], folder / f"{request['id']}.draft"
    for other in folder.glob("req_*.draft"):  # its own: the folder may have others
        if other != draft:
            other.unlink()
    choices = _choices(spec)
    operators = client.operators(spec["space"], **choices, device=request["device"])
    timed = partial(
        measure, operators, device=request["device"], runtime=spec["runtime"], threads=spec["threads"],
        seed=spec["seed"], note=spec["note"], draft=draft, watch=watch,
    )  # fmt: skip
    try:
        table = timed()
    except DraftRefused:  # the agent's own: who asked could do nothing about it
        say(f"warning: {draft} is of other operators or another runtime, or damaged: timing starts anew")
        draft.unlink()
        table = timed()
    stored = send(client, table, space=None if any(choices.values()) else spec["space"])
    draft.unlink(missing_ok=True)
    return {"table": stored["id"]}


def _calibrate(client: Client, spec: Document, watch: Watch, sleep: Sleep) -> Document:
    table, count = spec["table"], spec["networks"]
    body = time_networks(
        client, table, spec["space"], **_choices(spec), networks=count, seed=spec["seed"], watch=watch
    )  # fmt: skip
    send_once(lambda: client.add_measurements(table, body), None, sleep)
    return {"table": table, "networks": len(body["networks"])}


def _verify(client: Client, request: DeviceRequest, watch: Watch, sleep: Sleep) -> Document:
    device, architecture = request["device"], request["spec"]["architecture"]
    body = time_architecture(client, client.architecture(architecture), device, threads=request["spec"]["threads"])
    watch(1, 1, 0.0)  # nobody watched the one network
    told = {"device": device, "latency_us": body["latency_us"]}

    def is_there() -> bool:
        kept = client.architecture(architecture).get("measured", [])
        return any(told.items() <= one.items() for one in kept)

    send_once(lambda: client.add_measured_latency(architecture, body), is_there, sleep)
    return {"architecture": architecture, "latency_us": body["latency_us"]}


def _time(client: Client, spec: Document, watch: Watch) -> Document:
    table = client.table(spec["table"])
    return {"table": table["id"], "latency_us": time_network(table, spec["operators"], watch=watch)}


def _choices(spec: Document) -> Document:
    return {name: spec.get(name) or () for name in ("precision", "width")}


def send_once(send_it: Callable[[], object], is_there: Callable[[], bool] | None, sleep: Sleep) -> None:
    """Sends what must not be there twice, also where the connection breaks before the answer came: looks whether it
    `is_there` before it sends again, which needs no look where the service takes the same only once.
    """
    while True:
        try:
            send_it()
            return
        except UnreachableError:
            sleep(PAUSE_SECONDS)  # what broke off may still be at work there
            if is_there is not None and is_there():
                return


def explain(error: Exception) -> str:
    """What went wrong, in one text for who asked. What nobody thought of is printed here in full."""
    if isinstance(error, click.ClickException):
        hint = getattr(error, "hint", "")
        return f"{error.format_message()}; {hint}" if hint else error.format_message()
    if isinstance(error, ProblemError):
        return describe(error)
    if isinstance(error, LutnasError | OSError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"
