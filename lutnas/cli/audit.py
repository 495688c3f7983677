"""`lutnas audit`."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice

import click

from lutnas.cli.options import connected
from lutnas.cli.output import Output, say
from lutnas.client import Client

COLUMNS = ["at", "owner", "token_id", "method", "route", "object_id", "status"]
_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """A time with its zone; one without is that of this machine."""
    if value is None:
        return None
    try:
        if ago := _AGO.fullmatch(value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        told = f"{value!r} is neither a time (2026-11-24T10:00) nor how long ago (90m, 24h, 7d)"
        raise click.BadParameter(told, ctx, param) from None


@click.command("audit")
@click.option(
    "--since", callback=_time, metavar="WHEN", help="From a time on (2026-11-24T10:00), or for so long (90m, 24h, 7d)."
)
@click.option("--actor", metavar="TOKEN|OWNER", help="Only what a token, by its id, or an owner wrote.")
@click.option("--object", "object_id", metavar="ID", help="Only what was done to one thing, such as a job.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="The newest so many.")
@connected
def audit(
    client: Client, output: Output, since: datetime | None, actor: str | None, object_id: str | None, limit: int
) -> None:
    """List who wrote what, newest first; needs the scope admin.

    A row is a write, or one that a token was not allowed to do (status 403, 404).
    """
    entries = client.audit(since=since, actor=actor, object=object_id)
    found = list(islice(entries, limit))
    output.listing(found, COLUMNS, nothing="nothing was written")
    if len(found) == limit and next(entries, None) is not None:
        say(f"these are the newest {limit}; --limit shows more")
