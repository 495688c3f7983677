"""Bearer tokens: made at random, known by the hash of their secret. What is wrong with one: `api.auth.errors`."""

import hashlib
import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.auth.callers import Caller, Owner, Scope
from api.auth.errors import TokenExpired, TokenRevoked, Unauthorized
from api.auth.models import Token
from api.db.session import Database, insert
from api.ids import new_id
from api.settings import Settings

MAIN_OWNER = "main"
_ALL: tuple[Scope, ...] = ("admin",)
_OPERATOR = "operator"  # the name of the token that an operator gives


def identify(session: Session, secret: str, *, now: datetime) -> Caller:
    """The caller that a token stands for; raises Unauthorized, TokenExpired, TokenRevoked."""
    found = _find(session, secret)
    if found is None:
        raise Unauthorized(
            "This token is not known: ask who runs the service for one (`lutnas serve` prints where its own lies)."
        )
    if found.revoked_at is not None:
        raise TokenRevoked(f"The token {found.id} was revoked: ask for another.")
    if found.expires_at is not None and found.expires_at <= now:
        raise TokenExpired(f"The token {found.id} was good until {found.expires_at.isoformat()}: ask for another.")
    return Caller(
        token_id=found.id, name=found.name, token_owner=found.owner, teams=tuple(found.teams),
        scopes=tuple(found.scopes), expires_at=found.expires_at, last_used_at=found.last_used_at,
        owner=Owner(found.owner, tuple(found.teams), found.device_id),
    )  # fmt: skip


def is_good(session: Session, token_id: str, *, now: datetime) -> bool:
    """Whether a token that was shown is neither taken back since nor at its end."""
    found = session.get(Token, token_id)
    return found is not None and found.revoked_at is None and (found.expires_at is None or found.expires_at > now)


def make_token(session: Session, *, owner: str, name: str, scopes: Collection[Scope]) -> str:
    """A new token of `owner`: its secret. Only the hash of that is kept."""
    secret = new_secret()
    insert(session, token_row(secret, owner=owner, name=name, scopes=scopes))
    return secret


def new_secret() -> str:
    """What a token is shown as, once."""
    return "lutnas_" + secrets.token_urlsafe(32)


def token_row(
    secret: str, *, owner: str, name: str, scopes: Collection[Scope], teams: Collection[str] = (),
    device_id: str | None = None, made_by: str | None = None, expires_at: datetime | None = None,
) -> Token:  # fmt: skip
    """The row of a token that is made now."""
    return Token(
        id=new_id("tok"), sha256=token_hash(secret), owner=owner, name=name, scopes=list(scopes), teams=list(teams),
        device_id=device_id, made_by=made_by, created_at=datetime.now(UTC), expires_at=expires_at, revoked_at=None,
        last_used_at=None,
    )  # fmt: skip


def ensure_token(settings: Settings, database: Database | None = None) -> Path | None:
    """Sees to it that somebody can use the service, and gives the file the token is in.

    The operator's secret where there is one; else the one in HOME/token, made now if it is not there, readable for its
    owner alone. It may do all. What the operator gave before, and gives no more, is good for nothing. None where the
    secret came by value. Raises OSError, ValueError.
    """
    if database is None:
        opened = Database(settings.database_url)
        try:
            return ensure_token(settings, opened)
        finally:
            opened.close()
    given = settings.operator_token
    if given is not None:
        old = delete(Token).where(Token.name == _OPERATOR, Token.made_by.is_(None), Token.sha256 != token_hash(given))
        with database.write() as session:
            session.execute(old)
            _register(session, given, _OPERATOR, "LUTNAS_TOKEN was revoked: give another")
        return settings.token_file
    path = settings.home / "token"
    token = _token_in(path)
    with database.write() as session:
        session.execute(delete(Token).where(Token.name == _OPERATOR, Token.made_by.is_(None)))  # it is given no more
        _register(session, token, "home", f"the token in {path} was revoked: delete the file, and a new one is made")
    return path


def _register(session: Session, secret: str, name: str, if_revoked: str) -> None:
    insert(session, token_row(secret, owner=MAIN_OWNER, name=name, scopes=_ALL))
    standing = _find(session, secret)
    if standing is not None and standing.revoked_at is not None:
        raise ValueError(if_revoked)


def _find(session: Session, secret: str) -> Token | None:
    return session.scalars(select(Token).where(Token.sha256 == token_hash(secret))).one_or_none()


def _token_in(path: Path) -> str:
    """The token in `path`. Two that start at once agree: the file appears whole, and the first one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        beside = path.with_name(f".token-{secrets.token_hex(8)}")
        with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(new_secret() + "\n")
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError(f"{path} is empty: delete it, and a new token is made")
    return token


def token_hash(token: str) -> str:
    """What a token is found by."""
    # Tokens are random and long, so a plain hash cannot be turned back by trying.
    return hashlib.sha256(token.encode()).hexdigest()
