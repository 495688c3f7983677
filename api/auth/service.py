"""Bearer tokens: made at random, known by their hash, each standing for an owner.

Errors:
    Unauthorized (DomainError)   401  unauthorized: no token, or one that nobody made
"""

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from api.auth.models import Token
from api.db.session import Database, insert
from api.errors import DomainError
from api.settings import Settings

MAIN_OWNER = "main"
_OPERATOR = "operator"  # the name of the token that an operator gives


class Unauthorized(DomainError):
    """No token, or one that nobody made."""

    status = 401
    slug = "unauthorized"
    title = "Unauthorized"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. All that a caller makes belongs to `owner`, and nothing else is seen."""

    owner: str
    name: str


def identify(session: Session, token: str) -> Caller:
    """The caller that `token` stands for; raises Unauthorized."""
    found = session.get(Token, _hash(token))
    if found is None:
        raise Unauthorized("This token is not known: `lutnas serve` prints where the right one lies.")
    return Caller(found.owner, found.name)


def make_token(session: Session, *, owner: str, name: str) -> str:
    """A new token of `owner`. Only its hash is kept."""
    token = "lutnas_" + secrets.token_urlsafe(32)
    _register(session, token, owner=owner, name=name)
    return token


def ensure_token(settings: Settings, database: Database | None = None) -> Path | None:
    """Sees to it that somebody can use the service, and gives the file the token is in.

    The operator's secret where there is one (another secret than last time replaces that); else the one in
    HOME/token, made now if it is not there, readable for its owner alone. None where the secret came by value. Raises
    OSError, ValueError.
    """
    if database is None:
        opened = Database(settings.database_url)
        try:
            return ensure_token(settings, opened)
        finally:
            opened.close()
    given = settings.operator_token
    if given is not None:
        with database.write() as session:
            session.execute(delete(Token).where(Token.name == _OPERATOR, Token.sha256 != _hash(given)))
            _register(session, given, owner=MAIN_OWNER, name=_OPERATOR)
        return settings.token_file
    path = settings.home / "token"
    token = _token_in(path)
    with database.write() as session:
        _register(session, token, owner=MAIN_OWNER, name="home")
    return path


def _register(session: Session, token: str, *, owner: str, name: str) -> None:
    insert(session, Token(sha256=_hash(token), owner=owner, name=name, created_at=datetime.now(UTC)))


def _token_in(path: Path) -> str:
    """The token in `path`. Two that start at once agree: the file appears whole, and the first one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        beside = path.with_name(f".token-{secrets.token_hex(8)}")
        with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write("lutnas_" + secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    token = path.read_text().strip()
    if not token:
        raise ValueError(f"{path} is empty: delete it, and a new token is made")
    return token


def _hash(token: str) -> str:
    # Tokens are random and long, so a plain hash cannot be turned back by trying.
    return hashlib.sha256(token.encode()).hexdigest()
