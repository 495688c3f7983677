"""Who asks, what for, and on whose behalf.

Scopes: `read` looks, `submit` makes spaces, data sets, jobs and requests to devices, `profile` tells what devices were
measured at, `admin` is all of these and tokens and the audit trail. A team is an owner that tokens of others name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol, TypeVar, get_args

from api.auth.errors import Forbidden

Scope = Literal["read", "submit", "profile", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Owner:
    """On whose behalf a request is done. What it makes belongs to `name`; what it finds is that owner's or one of
    `teams`', and for an agent whose token is of one `device` (an id) no other device's.
    """

    name: str
    teams: tuple[str, ...] = ()
    device: str | None = None

    @property
    def visible(self) -> tuple[str, ...]:
        """All owners whose things are found, the nearest first: a name that several use is the nearest one's."""
        return (self.name, *self.teams)

    def sees(self, owner: str) -> bool:
        """Whether what belongs to `owner` is found."""
        return owner in self.visible

    def reaches(self, device_id: str) -> bool:
        """Whether what hangs on a device is found, if its owner is seen."""
        return self.device is None or self.device == device_id

    def alone(self, owner: str | None = None) -> "Owner":
        """The same without teams; for `owner`, where a thing of theirs names others of theirs."""
        return replace(self, name=self.name if owner is None else owner, teams=())


class Named(Protocol):
    """A row that has a name of its own among those of its owner."""

    @property
    def owner(self) -> str: ...
    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


def nearest(owner: Owner, rows: Iterable[Row]) -> list[Row]:
    """One row a name, in the order in which the names come: of several the nearest owner's."""
    found = dict[str, Row]()
    for row in rows:
        standing = found.setdefault(row.name, row)
        if owner.visible.index(row.owner) < owner.visible.index(standing.owner):
            found[row.name] = row
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Caller:
    """A token that was shown and is good. `token_owner` is its own owner, `owner` on whose behalf it asks now."""

    token_id: str
    name: str
    token_owner: str
    teams: tuple[str, ...]
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    last_used_at: datetime | None
    owner: Owner

    @property
    def is_admin(self) -> bool:
        """Whether it may do all."""
        return "admin" in self.scopes

    def may(self, scope: str) -> bool:
        """Whether it has `scope`."""
        return self.is_admin or scope in self.scopes

    def require(self, scopes: Iterable[str]) -> None:
        """Raises Forbidden where it has none of `scopes`; where these are none it has to be known, no more."""
        wanted = list(scopes)
        if wanted and not any(map(self.may, wanted)):
            raise Forbidden(
                f"This needs a token with the scope {' or '.join(wanted)}; this one has {', '.join(self.scopes)}.",
                missing_scopes=wanted,
            )

    def on_behalf_of(self, team: str | None) -> "Caller":
        """The same, for a team alone; raises Forbidden where the token does not name it."""
        if team is None or team == self.token_owner:
            return self
        if team not in self.teams:
            raise Forbidden(f"This token is not of the team {team!r}: X-Lutnas-Team names one of its teams.")
        return replace(self, owner=Owner(team))
