"""`lutnas tokens`."""

from datetime import UTC, datetime, timedelta

import click

from lutnas.cli.options import connected
from lutnas.cli.output import Output, say
from lutnas.client import Client

SCOPES = ["read", "submit", "profile", "admin"]


@click.group()
def tokens() -> None:
    """Tokens that open the service, each for some things only."""


@tokens.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES),
    help="What it may do; may be given several times. admin is all of them.",
)  # fmt: skip
@click.option("--device", metavar="NAME", help="Make it for the agent of this device alone; its scope is profile.")
@click.option(
    "--team", "teams", multiple=True, metavar="NAME", help="A team that it is of; may be given several times."
)
@click.option("--owner", metavar="NAME", help="Whose it is, instead of yours; needs the scope admin.")
@click.option(
    "--days",
    type=click.FloatRange(0, 36_500, min_open=True),
    help="Days that it is good for  [default: as long as yours]",
)
@connected
def create_token(
    client: Client, output: Output, name: str, scopes: tuple[str, ...], device: str | None, teams: tuple[str, ...],
    owner: str | None, days: float | None,
) -> None:  # fmt: skip
    """Make a token that may do no more than yours. Its secret is printed this once.

    Nobody can look it up later: put it where only its user reads it.
    """
    until = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    made = client.tokens.create(name, scopes=scopes, owner=owner, teams=teams, device=device, expires_at=until)
    output.document(made)
    say("the secret is not kept: store it now, for a machine in a file for --token-file or LUTNAS_TOKEN_FILE")


@tokens.command("list")
@connected
def list_tokens(client: Client, output: Output) -> None:
    """List your tokens, with the scope admin those of all owners."""
    columns = ["id", "name", "owner", "scopes", "teams", "device", "expires_at", "revoked_at", "last_used_at"]
    output.listing(client.tokens.list(), columns, nothing="no token")


@tokens.command("revoke")
@click.argument("token_id")
@click.option("--with-made", is_flag=True, help="Take back those as well that it made, and that these made in turn.")
@connected
def revoke_token(client: Client, output: Output, token_id: str, with_made: bool) -> None:
    """Take a token back by its id, at once and for ever.

    Tokens that it made stay good, as when it is replaced. Where a stranger may have had it, take them back too.
    """
    client.tokens.revoke(token_id, with_made=with_made)
    told = f"{token_id} and all that it made open" if with_made else f"{token_id} opens"
    output.document({"token": token_id, "revoked": True, "with_made": with_made}, f"{told} nothing any more")
