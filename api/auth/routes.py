"""/v1/tokens."""

from fastapi import APIRouter, Response

from api.auth import tokens
from api.auth.models import Token
from api.auth.schemas import MadeToken, NewToken, TokenView
from api.dependencies import Authenticated, Cursor, Limit, Parts, Reader
from api.pages import Page

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


@router.post("", status_code=201)
def create_token(new: NewToken, caller: Authenticated, service: Parts, response: Response) -> MadeToken:
    """Make a token that may do no more than this one. Its secret is in this answer, and nowhere else."""
    with service.database.write() as session:
        row, secret = tokens.create(session, caller, new)
        made = MadeToken(secret=secret, **tokens.view(session, row).model_dump())
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get("")
def list_tokens(caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[TokenView]:
    """List the tokens of this one's owner, with the scope admin those of all owners, newest first."""
    with service.database.read() as session:
        found, following = tokens.list_page(session, caller, cursor=cursor, limit=limit)
        return Page(items=[tokens.view(session, row) for row in found], next_cursor=following)


@router.get("/self")
def read_own_token(caller: Authenticated, service: Parts) -> TokenView:
    """What this token is, and what it may do."""
    with service.database.read() as session:
        return tokens.view(session, session.get_one(Token, caller.token_id))


@router.delete("/{token_id}", status_code=204)
def revoke_token(token_id: str, caller: Authenticated, service: Parts, with_made: bool = False) -> None:
    """Take a token back, at once and for ever: one's own, or one that may do no more than this one. `with_made` takes
    back those as well that it made, and that these made in turn.
    """
    with service.database.write() as session:
        revoked = {row.id for row in tokens.revoke(session, caller, token_id, with_made=with_made)}
    service.known.forget(revoked)
