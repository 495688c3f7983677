"""Watching a job: its events as lines of JSON, as a live view in a terminal, or as lines of text."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import ExitCode, Failure
from lutnas.cli.output import Output, say
from lutnas.client import Client
from lutnas.client.documents import FINAL_STATES, Document, Event, Job

PHASES = {
    "search": "searching",
    "warm-start": "asking where to start",
    "float": "training in float",
    "trace": "asking sensitivities",
    "draw": "scoring single paths",
    "assess": "scoring finalists",
    "measure": "measuring the best",
    "trial": "trying finalists",
    "derive": "deriving",
    "teach": "training a float twin",
    "finish": "training the result",
    "compare": "comparing",
    "export": "exporting",
}
OTHER_TOTALS = {
    "expected_energy_uj": "uJ",
    "expected_size_bytes": "bytes",
    "expected_memory_bytes": "bytes",
    "expected_macs": "multiply-adds",
}
CODES = {"succeeded": ExitCode.OK, "failed": ExitCode.ERROR, "cancelled": ExitCode.CANCELLED, "paused": ExitCode.PAUSED}


@dataclass
class View:
    """What is known of a job from its events: what a person wants to see of it."""

    job: Job
    state: str = "queued"
    progress: Document = field(default_factory=dict)
    known: Document = field(default_factory=dict)  # the last value of each measure, as not every event has all

    def take(self, event: Event) -> str | None:
        """Takes in an event; gives a line worth keeping, or None."""
        data = event["data"]
        match event["kind"]:
            case "state":
                self.state = data["state"]
                return f"{self.state}" + (f": {data['reason']}" if data.get("reason") else "")
            case "progress":
                return self._progress({"step": event["step"], **data})
            case "derived":
                return "derived " + " ".join(name.replace(" ", ",") for name in data.get("candidates", []))
            case "warning" | "note" as kind:
                return f"{kind}: {data.get('detail', '')}"
        return None

    def _progress(self, data: Document) -> str | None:
        before = self._stage()
        if data.get("phase") != before[0]:
            self.known = {}
        self.progress = data
        self.known.update({name: value for name, value in data.items() if value is not None})
        changed = self._stage() != before
        return "  ".join(filter(None, [self.title(), *self.measures()])) if changed else None

    def _stage(self) -> tuple[object, ...]:
        """What a line is worth writing for when it changes."""
        return self.progress.get("phase"), self.known.get("network"), self.known.get("epoch")

    def title(self) -> str:
        """Phase, step and time left."""
        phase = self.progress.get("phase")
        if phase is None:
            return self.state
        left = self.progress.get("seconds_left")
        count = f"step {self.progress.get('step', 0)}/{self.progress.get('steps', 0)}"
        if "networks" in self.progress:
            method, share = self.progress["method"], self.progress["share"]
            count = f"{self.progress['network']} of {self.progress['networks']} ({method} at {share:g})  {count}"
        if "workers" in self.progress:
            count += f"  on {self.progress['workers']} workers"
        return f"{PHASES.get(phase, phase)}  {count}" + (f"  {out.duration(left)} left" if left is not None else "")

    def measures(self) -> Iterator[str]:
        """Expected totals against the budgets, and how well it learns."""
        yield from self._latencies()
        for name, latency_us in (self.known.get("measured") or {}).items():
            yield f"measured latency {latency_us:.1f} us on {name}"
        for measure, unit in OTHER_TOTALS.items():
            for name, total in (self.known.get(measure) or {}).items():
                yield f"expected {name} {total:,.0f} {unit}"
        for name, form in (("epoch", "d"), ("accuracy", ".4f"), ("loss", ".4f"), ("temperature", ".3g")):
            if name in self.known:
                yield f"{name} {self.known[name]:{form}}"

    def _latencies(self) -> Iterator[str]:
        expected = self.known.get("expected_latency_us") or {}
        for number, constraint in enumerate(self.job["spec"].get("constraints", [])):
            device, budget = constraint.get("device"), constraint.get("max_us")
            # where a device has two budgets, its table or the constraint's number tells them apart
            names = (device, f"{device} ({constraint.get('table')})", f"{device} ({number})")
            name = next((name for name in names if name in expected), None)
            if name is not None and budget:
                share = expected[name] / budget
                yield f"expected latency {expected[name]:.1f} of {budget:.1f} us on {name} ({share:.0%})"

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 2))
        done, total = self.progress.get("step", 0), self.progress.get("steps") or None
        grid.add_row(ProgressBar(total=total, completed=done, width=40), Text(self.title()))
        return Group(grid, *(Text(f"  {line}") for line in self.measures()))


def watch(client: Client, output: Output, job: Job, *, after: int = 0) -> int:
    """Follows `job` to its end, or until it is paused, and gives the exit code that this stands for. Ctrl-C raises
    Failure with code 130.
    """
    return code_of(watched(client, output, job, after=after))


def code_of(job: Job) -> int:
    """The exit code of a job as the watching left it: of one that was resumed at that moment that of its pause."""
    return CODES.get(job["state"], ExitCode.PAUSED)


def watched(client: Client, output: Output, job: Job, *, after: int = 0) -> Job:
    """The same, and gives the job as it ended."""
    try:
        ended = follow(client, output, job, after=after)
    except KeyboardInterrupt:
        hint = f"the job goes on: `lutnas jobs watch {job['id']}`, or end it with `lutnas jobs cancel {job['id']}`"
        raise Failure("stopped watching", hint=hint, exit_code=ExitCode.INTERRUPTED) from None
    if output.as_json:
        output.line(ended)
    else:
        _show_end(ended)
    return ended


def follow(client: Client, output: Output, job: Job, *, after: int = 0, through_pauses: bool = False) -> Job:
    """Shows the events of `job` up to its end, or its pause, and gives the job as it is then."""
    follow_events = client.events if through_pauses else partial(_until_pause, client)
    show = _lines_of_json if output.as_json else _for_people
    show(follow_events(job["id"], after=after), output, job)
    return client.job(job["id"])


def _until_pause(client: Client, job: str, *, after: int) -> Iterator[Event]:
    """They end with the job, and where it stands paused: nobody may be there to resume it."""
    if _stands_paused(client, job, after):
        return
    for event in client.events(job, after=after):
        yield event
        is_pause = event["kind"] == "state" and event["data"].get("state") == "paused"
        if is_pause and _stands_paused(client, job, event["id"]):
            return


def _stands_paused(client: Client, job: str, after: int) -> bool:
    """Whether it is paused, and has told nothing after event `after`."""
    return client.job(job)["state"] == "paused" and next(client.told(job, after=after), None) is None


def _lines_of_json(events: Iterator[Event], output: Output, _job: Job) -> None:
    for event in events:
        output.line(event)


def _for_people(events: Iterator[Event], _output: Output, job: Job) -> None:
    view, console = View(job), out.stderr()
    with _live(view, console) as live:
        for event in events:
            line = view.take(event)
            if line is not None:
                (live.console if live else console).print(Text(line), soft_wrap=True)
            if live:
                live.update(view)


@contextlib.contextmanager
def _live(view: View, console: Console) -> Iterator[Live | None]:
    if not console.is_terminal:
        yield None
        return
    with Live(view, console=console, refresh_per_second=4, transient=True) as live:
        yield live


def why_failed(job: Job) -> str:
    """The reason of a failed job, as the worker gave it."""
    error: dict[str, Any] = job["error"] or {}
    return f"the job failed: {error.get('detail') or error.get('title') or 'no reason was given'}"


def _show_end(job: Job) -> None:
    if job["state"] == "failed":
        say(f"error: {why_failed(job)}")
    elif job["state"] not in FINAL_STATES:
        say(f"`lutnas jobs resume {job['id']}` takes a paused job up again, `lutnas jobs watch {job['id']}` follows it")
    elif job["architecture"]:
        out.stdout().print(Text(job["architecture"]))
        say(f"`lutnas architectures download {job['architecture']}` fetches its files")
