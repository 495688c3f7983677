"""`lutnas agent`: answers what the service asks of this very machine."""

import os
import platform
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click

from lutnas.agent.loop import Agent
from lutnas.agent.stop import Stop, Stopped
from lutnas.cli.answer import answer, explain
from lutnas.cli.failure import ExitCode, Failure, refuse
from lutnas.cli.options import connect, connection_options, folder, json_option
from lutnas.cli.output import Output, say
from lutnas.cli.tables import ensure_device
from lutnas.client.documents import DeviceRequest
from lutnas.client.transport import ATTEMPTS
from lutnas.settings import made_home

CODES = {"succeeded": ExitCode.OK, "cancelled": ExitCode.CANCELLED}
ENDED_BY: dict[int, ExitCode] = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
QUICK_SECONDS, QUICK_ATTEMPTS = 10.0, 2  # of heartbeats: the next one comes anyway


@click.command()
@click.option("--device", required=True, metavar="NAME", help="What this machine is called; registered if unknown.")
@click.option("--once", is_flag=True, help="Answer one request, if there is one, and end with its exit code.")
@click.option(
    "--poll", "poll_seconds", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, metavar="SECONDS",
    help="Time between two looks for a request.",
)  # fmt: skip
@click.option(
    "--folder", "home", type=folder, metavar="FOLDER",
    help="Where a profile keeps what it has so far  [default: agent/NAME in LUTNAS_HOME]",
)  # fmt: skip
@connection_options
@json_option
def agent(
    device: str,
    once: bool,
    poll_seconds: float,
    home: Path | None,
    url: str | None,
    token: str | None,
    token_file: Path | None,
    as_json: bool,
) -> int:
    """Answer what is asked of this machine: profiles, calibrations, verifications, times of what jobs derive, one at a
    time.

    Needs an extra: pip install 'lutnas[profiler]'. Ask with `lutnas devices request`. It tells the service how far it
    is, goes on through outages, and ends at Ctrl-C or SIGTERM: what it was at goes back to the queue, and a profile
    goes on where it was. With --json every line is a request as it began or ended.
    """
    stop, output = Stop(), Output(as_json)
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        reach = partial(connect, url, token, token_file)
        patient = stack.enter_context(reach(attempts=ATTEMPTS if once else None, sleep=stop.sleep, tell=_outage))
        quick = stack.enter_context(reach(attempts=QUICK_ATTEMPTS, timeout_seconds=QUICK_SECONDS))
        try:
            ensure_device(patient, device)  # which also refuses what is no name
            kept = stack.enter_context(_alone(home or made_home(os.environ) / "agent" / device))
            say(f"asking {patient.url} what {device} has to do")
            found = Agent(
                device=device,
                name=f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}",
                patient=patient,
                quick=quick,
                stop=stop,
                answer=partial(answer, patient, folder=kept, sleep=stop.sleep),
                explain=explain,
                say=say,
                show=_show(output),
            ).run(once=once, poll_seconds=poll_seconds)
        except Stopped:
            say("stopped")
            assert stop.signal is not None
            return ENDED_BY[stop.signal] if once else ExitCode.OK  # what was asked for once was not answered
    if found is None:
        say(f"nothing is asked of {device}, or another agent is at work")
        return ExitCode.OK
    return CODES.get(found, ExitCode.ERROR)


def _outage(why: str, seconds: float) -> None:
    if seconds >= 1:
        say(f"{why}; trying again in {seconds:.0f} s")


def _show(output: Output) -> Callable[[DeviceRequest], None]:
    return output.line if output.as_json else lambda _: None


@contextmanager
def _alone(place: Path) -> Iterator[Path]:
    """The folder `place`, for this process alone: two would write into one draft."""
    import fcntl  # Windows has none; there the other commands work

    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("w")
    except OSError as error:
        refuse("--folder", f"cannot write to {place}: {error.strerror}")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "stop that one, or name another --folder"
            raise Failure(f"another agent works in {place}", hint=hint) from error
        yield place
