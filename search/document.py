"""What every document that people write shares: strict JSON, immutable, names of one form. Torch-free."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Document(BaseModel):
    """A strict JSON document: a field nobody knows is refused, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
