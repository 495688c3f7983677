"""GET /v1/tokens/self."""

from fastapi import APIRouter

from api.auth.schemas import TokenView
from api.dependencies import Authenticated

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


@router.get("/self")
def read_own_token(caller: Authenticated) -> TokenView:
    """Whose token this is."""
    return TokenView(owner=caller.owner, name=caller.name)
