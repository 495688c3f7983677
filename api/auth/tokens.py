"""Tokens on the side of those who make them for others: nobody makes one that may do more than their own.

Errors: Forbidden, TokenUnknown, TokenRevoked (`api.auth.errors`), and
    DeviceUnknown (NotFound)   404  see api.devices.service
"""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.audit.trail import about, also_about
from api.auth.callers import Caller, Owner
from api.auth.errors import Forbidden, TokenRevoked, TokenUnknown
from api.auth.models import Token
from api.auth.schemas import NewToken, TokenView
from api.auth.service import new_secret, token_row
from api.devices import service as devices
from api.devices.models import Device
from api.paging import page


def create(session: Session, maker: Caller, new: NewToken) -> tuple[Token, str]:
    """A token that may do no more than its maker's, and its secret. Raises Forbidden, DeviceUnknown, TokenRevoked.

    Without `owner` it is of the maker's owner; without `expires_at` it ends with the maker's token.
    """
    _check_still_good(session, maker)
    owner = new.owner or maker.token_owner
    _check(maker, owner, new)
    device = None if new.device is None else devices.get(session, Owner(owner), new.device)
    secret = new_secret()
    row = token_row(
        secret, owner=owner, name=new.name, scopes=new.scopes, teams=new.teams, made_by=maker.token_id,
        device_id=None if device is None else device.id, expires_at=new.expires_at or maker.expires_at,
    )  # fmt: skip
    session.add(row)
    session.flush()
    about(session, row.id)
    return row, secret


def revoke(session: Session, caller: Caller, token_id: str, *, with_made: bool) -> list[Token]:
    """Takes a token back, for ever: one's own, or one that one may have made; `with_made` those as well that it made,
    that these made, and so on, which may do no more than it. Gives them all. Raises TokenUnknown, Forbidden.
    """
    row = session.get(Token, token_id, with_for_update=True)
    if row is None or not (caller.is_admin or row.owner == caller.token_owner):
        raise TokenUnknown(f"There is no token {token_id!r}: `GET /v1/tokens` lists yours.")
    if row.id != caller.token_id and not _covers(caller, row):
        raise Forbidden(f"The token {row.id} may do more than this one, which cannot take it back.")
    found = generation = [row]
    while with_made and generation:
        made = select(Token).where(Token.made_by.in_([one.id for one in generation])).order_by(Token.id)
        generation = list(session.scalars(made.with_for_update()))
        found = [*found, *generation]
    for one in found:
        one.revoked_at = one.revoked_at or datetime.now(UTC)
    also_about(session, [one.id for one in found[1:]])
    return found


def list_page(session: Session, caller: Caller, *, cursor: str | None, limit: int) -> tuple[list[Token], str | None]:
    """The tokens of the caller's owner, for an admin those of all owners, newest first."""
    tokens = select(Token)
    if not caller.is_admin:
        tokens = tokens.where(Token.owner == caller.token_owner)
    return page(session, tokens, Token.id, cursor=cursor, limit=limit, newest_first=True)


def view(session: Session, row: Token) -> TokenView:
    """What the API says of a token: all but its secret, which nobody knows."""
    device = None if row.device_id is None else session.get_one(Device, row.device_id).name
    names = set(TokenView.model_fields) - {"device"}
    return TokenView(device=device, **{name: getattr(row, name) for name in names})


def _check_still_good(session: Session, maker: Caller) -> None:
    """Holds the maker's token as it is until this unit of work ends: who takes it back with what it made sees all."""
    row = session.get(Token, maker.token_id, with_for_update={"read": True})
    if row is None or row.revoked_at is not None:
        raise TokenRevoked(f"The token {maker.token_id} was revoked: ask for another.")


def _check(maker: Caller, owner: str, new: NewToken) -> None:
    if maker.owner.device is not None:
        raise Forbidden("The token of a device makes no others.")
    lacking = [scope for scope in new.scopes if not maker.may(scope)]
    if lacking:
        raise Forbidden(
            f"This token has not the scope {', '.join(lacking)}, so that it cannot give it.", missing_scopes=lacking
        )
    if owner != maker.token_owner and not maker.is_admin:
        raise Forbidden(f"Tokens of {owner!r} are made with the scope admin.", missing_scopes=["admin"])
    foreign = sorted(set(new.teams) - set(maker.teams))
    if foreign and not maker.is_admin:
        raise Forbidden(f"This token is not of the team {', '.join(foreign)}, so it cannot make one that is.")
    if maker.expires_at is not None and new.expires_at is not None and new.expires_at > maker.expires_at:
        raise Forbidden(f"This token is good until {maker.expires_at.isoformat()}: none that it makes outlives it.")


def _covers(caller: Caller, row: Token) -> bool:
    if caller.owner.device is not None:
        return False
    return caller.is_admin or (all(map(caller.may, row.scopes)) and set(row.teams) <= set(caller.teams))
