"""Tokens of the service: what they may do, and until when."""

from collections.abc import Iterator, Sequence
from typing import cast

from lutnas.client.documents import MadeToken, Token
from lutnas.client.paths import path_of
from lutnas.client.transport import Transport


class Tokens:
    """The tokens of one's owner. Methods raise LutnasError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, name: str, *, scopes: Sequence[str], owner: str | None = None, teams: Sequence[str] = (),
        device: str | None = None, expires_at: str | None = None,
    ) -> MadeToken:  # fmt: skip
        """Makes a token that may do no more than one's own. Its `secret` is in this answer, and nowhere else."""
        body = {"name": name, "scopes": list(scopes), "teams": list(teams)}
        more = {"owner": owner, "device": device, "expires_at": expires_at}
        body |= {field: value for field, value in more.items() if value is not None}
        return cast(MadeToken, self._transport.json("POST", "/v1/tokens", json=body))

    def list(self) -> Iterator[Token]:
        """All tokens of one's owner, for an admin those of all owners, newest first."""
        return self._transport.items("/v1/tokens")

    def revoke(self, token: str, *, with_made: bool = False) -> None:
        """Takes the token of an id back, for ever, `with_made` also those that it made, and that these made in turn.
        Once more does no harm.
        """
        params = {"with_made": with_made}
        self._transport.request("DELETE", path_of("tokens", token), params=params, idempotent=True)
