"""What the API says of a token."""

from pydantic import BaseModel


class TokenView(BaseModel):
    """Whose token this is, and what it is called."""

    owner: str
    name: str
